"""DDPM from scratch: a small diffusion library, exported from the notebooks that build it. See README.md."""
