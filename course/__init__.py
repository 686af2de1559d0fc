"""The machinery of the course: which lessons there are, exporting, executing and checking them, the workspace and its grader."""
