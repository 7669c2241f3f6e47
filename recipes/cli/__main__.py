"""`python -m proactive_env.recipes.cli`, for launchers such as torchrun."""

from proactive_env.recipes.cli import main

if __name__ == "__main__":
    main()
