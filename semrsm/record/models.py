"""Models by name: torchvision, timm, Hugging Face, or a function in a Python file. Nothing is downloaded."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.record.images import Preprocess, as_tensor, centre_crop, in_colour
from semrsm.record.weights import load_weights

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_FUNCTIONS = 8  # of a file that are named
RANDOM = "random"  # instead of a file of weights
# What keeps libraries from the network, and from unpickling what lies in their caches.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
}


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        name: As it was asked for.
        module: The model, in eval mode.
        preprocess: From an image to what the model takes, (c, h, w).
        preprocessing: The same in words.
        weights: Where its weights come from.
        libraries: Versions of what made it.
        run: Gives the output of the module for a batch (b, c, h, w).
        has_logits: A two-dimensional output are logits.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    preprocessing: str
    weights: str
    libraries: str
    run: Callable[[nn.Module, Tensor], Any] = lambda module, batch: module(batch)
    has_logits: bool = True


@dataclass(frozen=True)
class Library:
    """Where models come from: what stands before the colon of a model's name.

    Attributes:
        name: Such as "timm".
        example: A whole name.
        summary: What it gives, in a line.
        load: Makes a model by its name and weights: a file, RANDOM, or None for those of the library.
    """

    name: str
    example: str
    summary: str
    load: Callable[[str, str | None], LoadedModel]


def load_model(name: str, weights: str | None = None, seed: int = 0) -> LoadedModel:
    """Return a model in eval mode.

    Args:
        name: "torchvision:NAME", "timm:NAME", "hf:NAME" or "FILE.py:function".
        weights: A file (safetensors or state dict), "random", or None for the library's own from its cache.
        seed: Of random weights.

    Raises:
        SemrsmError: There is no such library or model, the library is not installed, or the weights are
            not in its cache, are missing, or do not fit.
    """
    source, _, own = name.rpartition(":") if ".py:" in name else name.partition(":")
    if source.endswith(".py") and not own and Path(source).is_file():
        raise SemrsmError(f"'{name}' names no function; give {_functions_of(Path(source))}")
    if not own or not source:
        raise SemrsmError(
            f"'{name}' names no model; give {', '.join(row.example for row in LIBRARIES.values())}"
        )
    library = (
        LIBRARIES["FILE.py"] if source.endswith(".py") else look_up(LIBRARIES, source, "library")
    )
    model = name if library.name == "FILE.py" else own
    with torch.random.fork_rng(devices=[]), _offline(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of libraries, about each other
        torch.manual_seed(seed)
        try:
            loaded = library.load(model, weights)
        except SemrsmError:
            raise
        except Exception as error:  # libraries raise what they like
            raise SemrsmError(
                f"{name} cannot be loaded ({type(error).__name__}: {error}); give another"
                " model or other `weights`"
            ) from error
    loaded.module.eval()
    return loaded


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in OFFLINE}
    os.environ.update(OFFLINE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _library(name: str) -> ModuleType:
    """Import a library of models; all of them may import torchvision in passing."""
    _declare_operators()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SemrsmError(
            f"{name} is not installed ({error}); pip install 'semrsm[models]'"
        ) from error
    except RuntimeError as error:
        raise SemrsmError(
            f"{name} does not work with torch {torch.__version__} ({error}); install the version that fits"
        ) from error


@functools.cache
def _declare_operators() -> Any:
    """Declare the operators of torchvision where its compiled part does not load.

    That is the case where it is built for CUDA and torch is not, as a plain `pip install` gives it.
    Its import fails then for two operators of detectors, which no recorded network needs.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or "torchvision" in sys.modules:
        return None
    for folder in spec.submodule_search_locations or ():
        for compiled in sorted(Path(folder).glob("_C*.so")):
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(compiled))
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return operators  # kept, or they are gone with it


def _load_torchvision(name: str, weights: str | None) -> LoadedModel:
    library = _library("torchvision")
    models = importlib.import_module("torchvision.models")
    look_up(dict.fromkeys(models.list_models()), name, "torchvision model")
    own = models.get_model_weights(name).DEFAULT
    backbone = "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters
    options: dict[str, Any] = {"weights_backbone": None} if backbone else {}
    if weights is None:
        path = Path(torch.hub.get_dir(), "checkpoints", own.url.rpartition("/")[2])
        if not path.is_file():
            raise _not_in_cache(f"torchvision:{name}", path, own.url)
        module = models.get_model(name, weights=own, **options)
        weights = f"torchvision {own}"
    else:
        module = models.get_model(name, weights=None, **options)
        weights = _give_weights(module, weights)
    transform = own.transforms()
    words = " ".join(repr(transform).split())
    version = f"torchvision {library.__version__}"
    return LoadedModel(f"torchvision:{name}", module, in_colour(transform), words, weights, version)


def _load_timm(name: str, weights: str | None) -> LoadedModel:
    timm = _library("timm")
    base = name.partition(".")[0]
    look_up(dict.fromkeys(timm.list_models()), base, "timm model")
    if weights is None:
        own = timm.get_pretrained_cfg(name)
        repository = getattr(own, "hf_hub_id", None) or f"timm/{name}"
        hub = importlib.import_module("huggingface_hub")
        path = hub.try_to_load_from_cache(repository, "model.safetensors")
        if not isinstance(path, str):
            where = f"https://huggingface.co/{repository}"
            raise _not_in_cache(f"timm:{name}", hub.constants.HF_HUB_CACHE, where)
        overlay = {"file": path, "custom_load": False}
        module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        weights = f"{repository} ({path})"
    else:
        module = timm.create_model(name)
        weights = _give_weights(module, weights)
    data = importlib.import_module("timm.data")
    transform = data.create_transform(**data.resolve_model_data_config(module), is_training=False)
    words = " ".join(repr(transform).split())
    version = f"timm {timm.__version__}"
    has_logits = getattr(module, "num_classes", 0) > 0
    loaded = LoadedModel(f"timm:{name}", module, in_colour(transform), words, weights, version)
    return loaded if has_logits else _without_logits(loaded)


def _load_hf(name: str, weights: str | None) -> LoadedModel:
    """Load a folder, a model of the hub that is in the cache, or a kind of model such as "vit"."""
    library = _library("transformers")
    is_kind = name in library.CONFIG_MAPPING and not Path(name).is_dir()
    if is_kind and weights is None:
        raise SemrsmError(
            f"hf:{name} is a kind of model without weights of its own; give `weights='random'` or a"
            " file of weights, or a folder or a name of the hub"
        )
    try:
        make = library.AutoConfig.for_model if is_kind else library.AutoConfig.from_pretrained
        config = make(name) if is_kind else make(name, local_files_only=True)
    except (OSError, ValueError) as error:
        hub = importlib.import_module("huggingface_hub")
        raise SemrsmError(
            f"hf:{name} is no folder of a model, no kind of model, and not in {hub.constants.HF_HUB_CACHE}"
            f"{_nearest_kind(library, name)}; fetch it from https://huggingface.co/{name}, as nothing is"
            " downloaded here"
        ) from error
    architectures = getattr(config, "architectures", None) or [""]
    classifies = architectures[0].endswith("ForImageClassification")
    auto = library.AutoModelForImageClassification if classifies else library.AutoModel
    if weights is None:
        library.utils.logging.disable_progress_bar()
        module = auto.from_pretrained(name, local_files_only=True, use_safetensors=True)
        weights = f"hf:{name}"
    else:
        module = auto.from_config(config)
        weights = _give_weights(module, weights)
    module = getattr(module, "vision_model", module)  # of CLIP and its kin
    preprocess, words = _hf_preprocess(library, name, config, is_kind)
    return LoadedModel(
        f"hf:{name}",
        module,
        preprocess,
        words,
        weights,
        f"transformers {library.__version__}",
        run=lambda m, batch: m(pixel_values=batch),
        has_logits=classifies,
    )


def _nearest_kind(library: ModuleType, name: str) -> str:
    """Return a hint at the kind of model that a name may mean; none for the names of models, with "/"."""
    near = [] if "/" in name else difflib.get_close_matches(name.lower(), library.CONFIG_MAPPING, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _hf_preprocess(
    library: ModuleType, name: str, config: Any, is_kind: bool
) -> tuple[Preprocess, str]:
    """Return the processor that lies beside the weights; without one a square of the size of the model."""
    if not is_kind:
        with contextlib.suppress(OSError, ValueError):
            processor = library.AutoImageProcessor.from_pretrained(name, local_files_only=True)

            def process(image: Image) -> Tensor:
                return processor(images=image, return_tensors="pt")["pixel_values"][0]

            return in_colour(process), " ".join(str(processor.to_dict()).split())
    size = getattr(getattr(config, "vision_config", config), "image_size", None) or 224
    side = size if isinstance(size, int) else size[0]
    words = f"shorter side to {side}, centre {side} x {side}, mean 0.5, deviation 0.5"
    return in_colour(functools.partial(centre_crop, side=side)), words


def _load_file(name: str, weights: str | None) -> LoadedModel:
    """Run the function of a Python file that returns a module, or a module and what prepares an image."""
    file, _, function = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise SemrsmError(f"{path} does not exist; give FILE.py:function")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))  # as `python FILE.py` has it
    try:
        spec.loader.exec_module(module)
        functions = {n: f for n, f in vars(module).items() if callable(f) and not n.startswith("_")}
        parts = look_up(functions, function, "function")()
    except SemrsmError as error:
        raise error.within(path) from error
    except Exception as error:  # the user's code may raise anything
        raise SemrsmError(
            f"{name} cannot be run ({type(error).__name__}: {error}); mend it"
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    parts = parts if isinstance(parts, tuple) else (parts,)
    if not isinstance(parts[0], nn.Module) or len(parts) > 2 or not all(map(callable, parts)):
        raise SemrsmError(
            f"{name} returned {', '.join(type(part).__name__ for part in parts)}; return a torch.nn.Module,"
            " or a module and a function from a PIL image to a tensor (c, h, w)"
        )
    weights = f"as {name} made them" if weights is None else _give_weights(parts[0], weights)
    words = f"as {name} has it" if len(parts) > 1 else "none: pixels from 0 to 1"
    preprocess = parts[1] if len(parts) > 1 else as_tensor
    return LoadedModel(name, parts[0], preprocess, words, weights, f"torch {torch.__version__}")


def _functions_of(path: Path) -> str:
    """Name FILE.py:function for the functions that a file defines; the file is read and not run."""
    with contextlib.suppress(SyntaxError, UnicodeDecodeError, OSError):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = [part.name for part in body if isinstance(part, ast.FunctionDef)]
        public = [name for name in names if not name.startswith("_")]
        if public:
            more = ", …" if len(public) > MOST_FUNCTIONS else ""
            return ", ".join(f"{path}:{name}" for name in public[:MOST_FUNCTIONS]) + more
    return f"{path}:FUNCTION, one that returns the model"


def _give_weights(module: nn.Module, weights: str) -> str:
    """Leave a module its random weights, or give it those of a file; return where they come from."""
    if weights == RANDOM:
        return RANDOM
    load_weights(module, Path(weights))
    return weights


def _without_logits(loaded: LoadedModel) -> LoadedModel:
    return LoadedModel(**{**vars(loaded), "has_logits": False})


def _not_in_cache(model: str, where: object, source: str) -> SemrsmError:
    return SemrsmError(
        f"the weights of {model} are not in {where}, and nothing is downloaded; fetch them from {source},"
        " or name a file of `weights`, or `weights='random'`"
    )


LIBRARIES: dict[str, Library] = {
    row.name: row
    for row in (
        Library(
            "torchvision",
            "torchvision:resnet18",
            "the models of torchvision",
            _load_torchvision,
        ),
        Library("timm", "timm:vit_tiny_patch16_224", "the models of timm", _load_timm),
        Library(
            "hf",
            "hf:FOLDER",
            "models of Hugging Face: a folder, a name in the cache, or a kind such as vit",
            _load_hf,
        ),
        Library(
            "FILE.py",
            "FILE.py:function",
            "a function of yours that returns a module, or a module and its preprocessing",
            _load_file,
        ),
    )
}
