"""Registry of all methods by name, and the function that runs them."""

from __future__ import annotations

from ...checks import InputError
from ...registration.results import OnStep, unheeded
from ...scene import Scene
from .evolution import EVOLUTION
from .given import GIVEN
from .gradients import GRADIENTS
from .learned import LEARNED
from .method import Method, MethodContext, MethodOutcome, require_needs
from .network_refined import NETWORK_REFINED
from .objects import OBJECTS
from .ours import OURS

METHODS: dict[str, Method] = {
    method.name: method for method in (*GIVEN, *OURS, *GRADIENTS, *EVOLUTION, *LEARNED, *NETWORK_REFINED, *OBJECTS)
}


def method_named(name: str) -> Method:
    """The method of that name; raises InputError, listing all names, if there is none."""
    if name not in METHODS:
        raise InputError(
            "method", expected=f"one of {', '.join(METHODS)}", found=repr(name), remedy="choose one of them"
        )
    return METHODS[name]


def run_method(
    method: Method, scene: Scene, context: MethodContext | None = None, on_step: OnStep = unheeded
) -> MethodOutcome:
    """Run a method on a scene; `on_step` is called with every step, and may raise an error to end it.

    Raises InputError for missing inputs in scene or context, and for options that the method does not have.
    """
    context = context or MethodContext()
    require_needs(method, scene, context)
    return method.run(scene, context, on_step)
