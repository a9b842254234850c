"""From a model to an activation file: forward hooks, known libraries of models, folders of images."""
