"""torchvision's models by their names."""

import torchvision


def published(module, name, classes):
    """The model of one of torchvision.models' modules, without weights."""
    known = [model for model in torchvision.models.list_models(torchvision.models)
             if torchvision.models.get_model_builder(model).__module__ == module.__name__]
    if name not in known:
        raise SystemExit(f"--model {name}: there is no such model (known: small, {', '.join(known)})")
    return torchvision.models.get_model(name, weights=None, num_classes=classes)
