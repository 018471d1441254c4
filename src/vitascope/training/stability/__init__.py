"""How predictions suffer when images are made worse on purpose: any model, on the images of a recipe."""
