"""Full-batch L-BFGS, for convex heads."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

# Sums are split between threads, so their last bits depend on how many there are: fixed, whatever the machine has.
TRAINING_THREADS = 2


def minimise_lbfgs(
    parameters: Iterable[torch.nn.Parameter],
    objective: Callable[[], torch.Tensor],
    max_iterations: int,
    tolerance: float,
    after_iteration: Callable[[], None],
) -> bool:
    """Minimise a deterministic objective of float64 parameters, in place, by L-BFGS (scipy's L-BFGS-B).

    Returns whether it converged (the objective stopped falling by `tolerance` of itself) within `max_iterations`.
    """
    owned = list(parameters)

    def put(flat: np.ndarray) -> None:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(flat), owned)

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        put(flat.copy())
        for parameter in owned:
            parameter.grad = None
        value = objective()
        value.backward()
        gradient = torch.cat([parameter.grad.reshape(-1) for parameter in owned if parameter.grad is not None])
        return float(value.detach()), gradient.numpy()

    def callback(flat: np.ndarray) -> None:
        put(flat.copy())
        after_iteration()

    start = torch.nn.utils.parameters_to_vector(owned).detach().numpy().copy()
    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": 1e-8, "ftol": tolerance}
    # The optimiser's own vectors are short: threads would only wait for each other, at the cost of the gradient's.
    with threadpool_limits(1, user_api="blas"):
        result = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", callback=callback, options=options)
    put(result.x)
    return bool(result.success)
