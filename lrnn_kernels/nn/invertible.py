"""An activation with an inverse in closed form, and pairs of matrices of which one undoes the
other: what an autoencoder with an idempotent projection is made of."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..calls import arguments
from ..options import constant, number
from .directions import is_transformed

#: pi/4 in two numbers of a type: the nearest one, and what is left.
_QUARTER = {
    torch.float32: (0.785398185253143310546875, -2.1855694143368964e-08),
    torch.float64: (math.pi / 4, 3.061616997868383e-17),
}
#: The numbers from which on a type's nearest is above pi/4 or at it.
_ROUNDED_UP = {torch.float32: 0.7853981554508209, torch.float64: math.pi / 4}


class _Angle(NamedTuple):
    """Functions of theta, of its shape. c = cos 2theta, and sin theta / sqrt 2 = low - high, so
    that neither loses its digits where theta comes near pi/4."""

    S: Tensor
    C: Tensor
    c: Tensor
    t: Tensor
    low: Tensor
    high: Tensor


def _angle(theta: Tensor) -> _Angle:
    S, C = theta.sin(), theta.cos()
    near = theta > 0.5
    quarter, rest = _QUARTER[theta.dtype]
    delta = (quarter - theta) + rest
    c = torch.where(near, (2 * delta).sin(), (2 * theta).cos())
    low = torch.where(near, 0.5, S / math.sqrt(2))
    high = torch.where(near, (delta.sin() + 2 * (delta / 2).sin().square()) / 2, 0.0)
    return _Angle(S, C, c, (2 * theta).sin(), low, high)


def _root(y: Tensor, a: _Angle) -> tuple[Tensor, Tensor]:
    """w and R."""
    w = (y - a.low) + a.high
    return w, (w * w + a.c / 2).sqrt()


def _value(x: Tensor, theta: Tensor, sign: int) -> Tensor:
    """sigma_s(x): x (R+p) / (c (R+K)) where p >= 0, else the other root of the curve, in sums of
    numbers of one sign."""
    a = _angle(theta)
    w, R = _root(sign * x, a)
    p = a.t * w + a.C * a.c / math.sqrt(2)
    q = math.sqrt(2) * a.S
    above = x * ((R + p) / (a.c * (R + a.C / math.sqrt(2))))
    right, half = p >= 0, a.c * q / 2
    w = torch.where(right, 0.0, w)
    below = x * (((q + half) - a.c * w) / (a.t * R + (half - w)))
    return torch.where(right, above, below)


def _slope(x: Tensor, theta: Tensor, sign: int) -> Tensor:
    """d sigma_s / dx. Operations that can be differentiated; the operand of each branch is masked,
    since an infinity in the one that does not hold would become a NaN on the way back."""
    a = _angle(theta)
    w, R = _root(sign * x, a)
    right = w >= 0
    above, below = torch.where(right, w, 0.0), torch.where(right, 0.0, w)
    square = below * below
    left = (a.c * square + 0.5) / ((square + a.c / 2) - (a.t * below) * R)
    return torch.where(right, (1 + a.t * above / R) / a.c, left)


def _theta_slope(x: Tensor, z: Tensor, theta: Tensor, sign: int) -> Tensor:
    """d sigma_s / dtheta, of z = sigma_s(x): s (x^2 + z^2 - (C(3c-1)/sqrt 2) x^2 M/(R+K)) / R,
    K = C / sqrt 2.

    M = (1 - tan(theta) v/(R+K))/c, v = q - y, which is (z-x) (R+K)/(t s x^2): that too is a second
    order in x, and neither may be made as a difference of numbers that are not. With the conjugate,
    M = (v^2/C^2 + (E+F)/c) / ((R+K)(R+K + tan(theta) v)), E = c + q w, F = sqrt 2 C R, and
    F^2 - E^2 = 2 c v^2.
    """
    a, y = _angle(theta), sign * x
    w, R = _root(y, a)
    q, tan, RK = math.sqrt(2) * a.S, a.S / a.C, R + a.C / math.sqrt(2)
    v = q - y
    above = v <= 0
    E, F = a.c + q * w, math.sqrt(2) * a.C * R
    near = E >= 0
    square = v * v
    third = torch.where(near, (E + F) / a.c, 2 * square / torch.where(near, 1.0, F - E))
    below = (square / (a.C * a.C) + third) / (RK * (RK + tan * torch.where(above, 0.0, v)))
    M = torch.where(above, (1 - tan * v / RK) / a.c, below)
    factor = a.C * (3 * a.c - 1) / math.sqrt(2)
    return sign * (x * x * (1 - factor * (M / RK)) + z * z) / R


class _Sigma(torch.autograd.Function):
    """sigma_s(x) of theta, whose gradients are closed forms, too: operations that autograd
    differentiates again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, theta: Tensor, sign: int) -> Tensor:
        return _value(x, theta, sign)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, theta, ctx.sign = inputs
        ctx.save_for_backward(x, theta, output)

    @staticmethod
    def backward(ctx: Any, dz: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, theta, z = ctx.saved_tensors
        dx = dtheta = None
        if ctx.needs_input_grad[0]:
            dx = (dz * _slope(x, theta, ctx.sign)).sum_to_size(x.shape)
        if ctx.needs_input_grad[1]:
            dtheta = (dz * _theta_slope(x, z, theta, ctx.sign)).sum_to_size(theta.shape)
        return dx, dtheta, None


class _SigmaBothWays(_Sigma):
    """The same with forward-mode derivatives, which torch.compile refuses to see."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        _Sigma.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2], output)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dtheta: Tensor | None, _: None) -> Tensor:
        x, theta, z = ctx.saved_tensors
        dz = torch.zeros_like(z)
        if dx is not None:
            dz = dz + dx * _slope(x, theta, ctx.sign)
        if dtheta is not None:
            dz = dz + dtheta * _theta_slope(x, z, theta, ctx.sign)
        return dz


def sigma(x: Tensor, theta: Tensor, sign: int) -> Tensor:
    """sigma_s(x), s = -1 or 1, of what ``Hyperbolic`` has checked; in at least float32."""
    # Dynamo refuses a Function that has a jvp.
    function = _Sigma if torch.compiler.is_compiling() else _SigmaBothWays
    return function.apply(x, theta, sign)


def slope(x: Tensor, theta: Tensor, sign: int) -> Tensor:
    """d sigma_s / dx, of the same."""
    return _slope(x, theta, sign)


class Hyperbolic(torch.nn.Module):
    """A branch of a hyperbola as an activation, monotone and with its inverse (Otto, Macchio and
    Rowley 2023): sigma_-(x), of an angle theta.

        c (x^2 + z^2) - 2 x z + s sqrt(2) sin(theta) (1 + c) (z - x) = 0, z = sigma_s(x)

    with c = cos(2 theta). sigma(0) = 0 with slope 1; far out the slopes of sigma_- are tan(pi/4 +
    theta) below and tan(pi/4 - theta) above, those of sigma_+, its inverse, the same swapped; the
    identity as theta goes to 0. Written so that neither end of theta loses digits: for x up to 1e3
    and theta in [1e-4, pi/4 - 1e-4] value and slope are exact to 8 roundings of their type, the
    gradient of theta to 1e-5 in float32, and sigma_+(sigma_-(x)) is x to 12 roundings of |x| +
    |z| / sigma_-'(x).

    ``hyperbolic(x, theta)`` is sigma_-, ``hyperbolic.inverse(x, theta)`` sigma_+, and
    ``hyperbolic.derivative(x, theta)`` the slope of sigma_-. x and theta are of floating point, and
    broadcast as in x + theta: theta is a number, (), (n,) with one for each unit of x (..., n), or
    (B,1), (B,n) with those of each sample. The result has the type of x + theta, and is computed in
    float32 where that has 16 bits.

    All are differentiable in x and theta, twice and under torch.func too, and take
    ``torch.compile(fullgraph=True)``.

    Raises TypeError or ValueError that names the argument; ValueError where theta, as rounded to
    the type, is not within the open interval (0, pi/4). A theta that requires a gradient is not
    looked at, nor is one under torch.compile or torch.func: what learns it must keep it there, with
    a sigmoid, say. (To look at a tensor on a GPU is to wait for it; a number costs nothing.)
    """

    def forward(self, x: Tensor, theta: Tensor | float) -> Tensor:
        """sigma_-(x), of the shape of x + theta."""
        return self._apply_to(sigma, x, theta, -1)

    def inverse(self, x: Tensor, theta: Tensor | float) -> Tensor:
        """sigma_+(x), which undoes sigma_-."""
        return self._apply_to(sigma, x, theta, 1)

    def derivative(self, x: Tensor, theta: Tensor | float) -> Tensor:
        """The slope of sigma_- at x, in (tan(pi/4 - theta), tan(pi/4 + theta))."""
        return self._apply_to(slope, x, theta, -1)

    @staticmethod
    def _apply_to(function: Any, x: Tensor, theta: Tensor | float, sign: int) -> Tensor:
        _floating("x", x)
        dtype = x.dtype
        if isinstance(theta, Tensor):
            _floating("theta", theta)
            dtype = _common_type(x, theta)
            _broadcast(x, theta)
        wide = torch.promote_types(dtype, torch.float32)
        angle = _checked(x, theta, wide)
        return function(x.to(wide), angle, sign).to(dtype)


def _floating(name: str, x: object) -> None:
    arguments.tensor(name, x)
    if not x.dtype.is_floating_point:
        raise TypeError(f"{name} must be of a floating point type, got {x.dtype}")


def _common_type(x: Tensor, theta: Tensor) -> torch.dtype:
    """That of x + theta: torch.result_type, which Dynamo does not trace."""
    if bool(x.dim()) == bool(theta.dim()):
        return torch.promote_types(x.dtype, theta.dtype)
    return x.dtype if x.dim() else theta.dtype


def _broadcast(x: Tensor, theta: Tensor) -> None:
    pairs = zip(reversed(x.shape), reversed(theta.shape), strict=False)
    if not all(a == b or a == 1 or b == 1 for a, b in pairs):
        raise ValueError(
            f"theta must have a shape that broadcasts with that of x, {arguments.shape(x)}, and a "
            f"dimension of size 1 for those that share it, got {arguments.shape(theta)}"
        )
    if theta.device != x.device and theta.dim():
        raise ValueError(f"theta must be on the device of x, {x.device}, got {theta.device}")


def _checked(x: Tensor, theta: Tensor | float, dtype: torch.dtype) -> Tensor:
    """theta as a tensor of a type, in (0, pi/4) where that is looked at."""
    if not isinstance(theta, Tensor):
        theta = constant(theta)
        number("theta", theta, 0.0, math.pi / 4, open_low=True, open_high=True)
        if theta >= _ROUNDED_UP[dtype]:
            raise ValueError(f"theta must be in (0, pi/4) as rounded to {dtype}, got {theta!r}")
        return x.new_full((), theta, dtype=dtype)
    theta = theta.to(dtype)
    if theta.requires_grad or is_transformed():
        return theta
    within = (theta > 0) & (theta < _QUARTER[dtype][0])
    if not within.all():
        wrong = theta[~within].flatten()[0].item()
        raise ValueError(f"theta must be in (0, pi/4) as rounded to {dtype}, got {wrong:.9g}")
    return theta


class Biorthogonal(torch.nn.Module):
    """A parametrization of an encoder's weight E (r,n), r <= n, beside a decoder's D (n,r), that
    keeps E D = I whatever the optimizer does: E = (X D)^-1 X of two free matrices.

        encoder = torch.nn.Linear(n, r, bias=False)
        parametrize.register_parametrization(encoder, "weight", nn.Biorthogonal())
        encoder.weight, nn.Biorthogonal.partner(encoder)  # E, D

    It starts, and where the weight is assigned starts anew, at X = E and at D the pseudo-inverse:
    rows that are orthonormal give D = E transposed. state_dict: parametrizations.weight.original0
    is X (r,n), original1 is D (n,r). E is solved for, and in float64, so that no more than its last
    rounding is lost: max|E D - I| <= 3 eps max(1, cond(X D)) for entries of orthonormal columns'
    size.

    max_condition: what cond(X D), in the 1-norm, may come to, 1e6 by default; inf: anything but
    singular. Raises ValueError that names X D where it is above, which is not looked at under
    torch.compile or torch.func; ValueError or TypeError for a weight that is no such matrix.
    """

    def __init__(self, max_condition: float = 1e6) -> None:
        super().__init__()
        if max_condition != math.inf:
            max_condition = number("max_condition", max_condition, 1.0, math.inf)
        self.max_condition = max_condition

    def forward(self, X: Tensor, D: Tensor) -> Tensor:
        """E (r,n) of X (r,n) and D (n,r), as torch.nn.utils.parametrize calls it."""
        wide = _solving(X)
        product = X.to(wide) @ D.to(wide)
        E, singular = torch.linalg.solve_ex(product, X.to(wide))
        if not (is_transformed() or product.is_meta):
            self._check(product.detach(), singular)
        return E.to(X.dtype)

    def _check(self, product: Tensor, singular: Tensor) -> None:
        condition = math.inf
        if not singular.item():
            inverse, _ = torch.linalg.inv_ex(product)
            norms = [torch.linalg.matrix_norm(x, 1).item() for x in (product, inverse)]
            condition = norms[0] * norms[1]
        if condition == math.inf or not condition <= self.max_condition:
            limit = f"have a condition number of at most {self.max_condition:g}"
            raise ValueError(
                f"X D (the product of the parametrization's original0 and original1) must {limit}, "
                f"got {'a singular one' if condition == math.inf else f'{condition:.3g}'}"
            )

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """X and D of a weight."""
        _floating("weight", weight)
        if weight.dim() != 2 or weight.shape[0] > weight.shape[1]:
            raise ValueError(
                f"weight must have shape (r, n) with r <= n, got {arguments.shape(weight)}"
            )
        D = torch.linalg.pinv(weight.detach().to(_solving(weight)))
        return weight.detach().clone(), D.to(weight.dtype).contiguous()

    @staticmethod
    def partner(module: torch.nn.Module, name: str = "weight") -> Tensor:
        """D, of which a module's weight of this name is the left inverse."""
        parametrizations = getattr(module, "parametrizations", {})
        if name not in parametrizations or not isinstance(parametrizations[name][0], Biorthogonal):
            raise ValueError(
                f"module must have its {name} parametrized by Biorthogonal, got "
                f"{type(module).__name__} without it"
            )
        return parametrizations[name].original1

    def extra_repr(self) -> str:
        return f"max_condition={self.max_condition:g}"


def _solving(x: Tensor) -> torch.dtype:
    """The widest type that a device has."""
    return torch.float32 if x.device.type == "mps" else torch.float64
