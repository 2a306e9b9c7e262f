"""The neurons once more, one at a time in Python floats, gate by gate as their papers have them:
what the package's tables of channels and their batched steps are compared with."""

from math import exp, expm1


def boltzmann(V, C, D):
    return 1 / (1 + exp((V + D) / C))


def G(V, A, B, C, D):
    return A + B / (1 + exp((V + D) / C))


class Relaxation:
    """How gates and V move in one step of a scheme."""

    def __init__(self, scheme: str, dt: float) -> None:
        self.simple, self.dt, self.E = scheme == "exponential_euler", dt, None

    def gate(self, x, x_inf, tau, exactly=False):
        dt = self.dt
        if self.simple or exactly:
            return x_inf + (x - x_inf) * exp(-dt / tau)
        return x + dt / (tau + dt / 2) * (x_inf - x)

    def voltage(self, V, E, total):
        z = self.dt * total
        if self.simple:
            return E + (V - E) * exp(-z)
        dE = 0.0 if self.E is None else E - self.E
        self.E = E
        return E + dE / 2 - dE / z + (V - E + dE / 2 + dE / z) * exp(-z)


class STG:
    """Gates at steady state at -70 mV."""

    def __init__(self, g, scheme: str, dt: float) -> None:
        self.g, self.move, self.V, self.Ca = g, Relaxation(scheme, dt), -70.0, 0.5
        self.x = self.infinities()

    def infinities(self):
        V, Ca = self.V, self.Ca
        return [
            boltzmann(V, -5.29, 25.5),
            boltzmann(V, 5.18, 48.9),
            boltzmann(V, -11.8, 12.3),
            boltzmann(V, -7.2, 27.1),
            boltzmann(V, 5.5, 32.1),
            boltzmann(V, -8.1, 33),
            boltzmann(V, 6.2, 60),
            Ca / (Ca + 3) * boltzmann(V, -12.6, 28.3),
            boltzmann(V, -8.7, 27.2),
            boltzmann(V, 4.9, 56.9),
            boltzmann(V, 6, 70),
        ]

    def taus(self):
        V = self.V
        return [
            G(V, 1.32, -1.26, -25, 120),
            G(V, 0, 0.67, -10, 62.9) * G(V, 1.5, 1, 3.6, 34.9),
            G(V, 7.2, -6.4, -19.2, 28.3),
            G(V, 21.7, -21.3, -20.5, 68.1),
            G(V, 105, -89.8, -16.9, 55),
            1.4 + 7 / (exp((V + 27) / 10) + exp(-(V + 70) / 13)),
            60 + 150 / (exp((V + 55) / 9) + exp(-(V + 65) / 16)),
            G(V, 90.3, -75.1, -22.7, 46),
            G(V, 11.6, -10.4, -15.2, 32.9),
            G(V, 38.6, -29.2, -26.5, 38.9),
            G(V, 272, 1499, -8.73, 42.2),
        ]

    def step(self, current=0.0):
        V, gates = self.V, zip(self.x, self.infinities(), self.taus(), strict=True)
        self.x = x = [self.move.gate(*gate) for gate in gates]
        na, kd, ct, cs, kc, a, h, leak = self.g
        sodium = na * x[0] ** 3 * x[1]
        calcium = ct * x[3] ** 3 * x[4] + cs * x[5] ** 3 * x[6]
        potassium = kd * x[2] ** 4 + kc * x[7] ** 4 + a * x[8] ** 3 * x[9]
        mixed = h * x[10]
        total = sodium + calcium + potassium + mixed + leak
        drive = 50 * sodium + 80 * calcium - 80 * potassium - 20 * mixed - 50 * leak + current
        self.V = self.move.voltage(V, drive / total, total)
        seen = V if self.move.simple else (V + self.V) / 2
        target = 0.05 - 0.94 * calcium * (seen - 80)
        self.Ca = self.Ca - expm1(-self.move.dt / 20) * (target - self.Ca)


class DA:
    """Gates at steady state at -90 mV; ERG's open fraction a0, none inactivated."""

    def __init__(self, g, scheme: str, dt: float) -> None:
        self.g, self.move, self.V = g, Relaxation(scheme, dt), -90.0
        self.x, self.o, self.i = self.infinities(), 0.0036 * exp(0.0759 * -90), 0.0

    def infinities(self):
        V = self.V
        return [
            boltzmann(V, -9.7264, 30.0907),
            boltzmann(V, 10.7665, 54.0289),
            boltzmann(V, -12, 25),
            boltzmann(V, -2, 50),
            boltzmann(V, -7, 30),
        ]

    def taus(self):
        V = self.V
        y = 0.5052 * V + 19.565
        rate = 0.4043 / 0.5052 * (y / -expm1(-y) if y else 1.0)
        return [
            0.01 + 1 / (rate + 3.0212 * exp(-0.007463 * V)),
            0.4 + 1 / (5.0754e-4 * exp(-0.063213 * V) + 9.7529 * exp(0.13442 * V)),
            G(V, 20, -18, -10, 38),
            G(V, 30, -28, -3, 45),
            G(V, 30, -25, -6, 55),
        ]

    def step(self, current=0.0):
        V, dt = self.V, self.move.dt
        exactly = [True, False, False, False, False]
        gates = zip(self.x, self.infinities(), self.taus(), exactly, strict=True)
        self.x = x = [self.move.gate(*gate) for gate in gates]
        a0, b0 = 0.0036 * exp(0.0759 * V), 1.2523e-5 * exp(-0.0671 * V)
        ai, bi = 0.1 * exp(0.1189 * V), 0.003 * exp(-0.0733 * V)
        # d(o, i)/dt = M (o, i) + (a0, 0), by the implicit rule, as two equations solved by Cramer
        M = ((-a0 - ai - b0, bi - a0), (ai, -bi))
        h = dt if self.move.simple else dt / 2
        late = (1 - h * M[0][0], -h * M[0][1], -h * M[1][0], 1 - h * M[1][1])
        e = dt - h
        right_o = self.o + e * (M[0][0] * self.o + M[0][1] * self.i) + dt * a0
        right_i = self.i + e * (M[1][0] * self.o + M[1][1] * self.i)
        det = late[0] * late[3] - late[1] * late[2]
        self.o = (late[3] * right_o - late[1] * right_i) / det
        self.i = (late[0] * right_i - late[2] * right_o) / det
        na, kd, cl, cn, erg, nmda, leak = self.g
        up = na * x[0] ** 3 * x[1] + cl * x[3] ** 2 + cn * x[4]
        down = kd * x[2] ** 3 + erg * self.o
        total = up + down + nmda / (1 + 1.4 * exp(-0.08 * V) / 10) + leak
        self.V = self.move.voltage(V, (60 * up - 85 * down - 50 * leak + current) / total, total)


def spike_times(kind, g, T, dt, scheme, discard=0.0, current=lambda t: 0.0):
    """The spikes of one neuron in T ms, crossings of 10 mV that go on to fall below 0."""
    neuron, found, crossing = kind(g, scheme, dt), [], None
    for n in range(round(T / dt)):
        before = neuron.V
        neuron.step(current((n + 0.5) * dt))
        if crossing is None and neuron.V >= 10:
            crossing = (n + (10 - before) / (neuron.V - before)) * dt
        elif crossing is not None and neuron.V < 0:
            if crossing >= discard:
                found.append(crossing)
            crossing = None
    return found
