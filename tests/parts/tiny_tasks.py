"""The tasks that the embedded model is pretrained on."""

from vlmgym.train.recipe import read_recipe, recipe_path

TASKS = read_recipe(recipe_path("tiny/base")).tasks
