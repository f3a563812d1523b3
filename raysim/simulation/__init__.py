"""Who trains when: the strategy protocol, the planner, the loop and its executor."""
