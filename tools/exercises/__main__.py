"""`make exercises`: see tools/exercises/workspace.py."""

from tools.exercises.workspace import main

main()
