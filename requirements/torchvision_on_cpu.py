"""Lets the torchvision of PyPI, which is built for CUDA, be imported beside a torch that is not.

Its compiled operators do not load there, and it refuses to be imported when they are not declared. This declares them;
calling one still fails. `make setup` puts this file and its .pth into the virtual environment, so that every process
has it: engine cores, servers, Ray workers.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import version

_libraries = []


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):  # noqa: ANN001, ANN202 (called by the import system)
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None and not version("torchvision").endswith("+cpu"):
                library = torch.library.Library("torchvision", "FRAGMENT")
                for operator in ("nms", "qnms"):
                    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
                _libraries.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
