"""Trajectories of PyTorch's optimizers, learning-rate schedules, gradient clipping, weight averages.

The problem is loss = mean((tanh(x @ w + b) - y)^2), x [8,3], y [8,4], w [3,4], b [4]. SparseAdam
trains rows of a table [6,4]: loss = mean((tanh(table[rows[step]]) - target[step])^2).
A case's "sensitivity" is how far the parameters at each snapshot move when the first are moved by
1e-15 of themselves, divided by that: what rounding alone can do to a correct implementation.
L-BFGS takes its step lengths from small differences of losses, which that does not show: there it
is the most that they move in eight runs whose losses and gradients, terms of size 1, are each moved
by a random number below 1e-15.
"""

import math

import torch
import transformers
from torch.optim import lr_scheduler as schedules

import common

STEPS = [1, 2, 3, 10, 50, 100]
FRESH = {"foreach", "fused", "capturable", "differentiable"}  # how PyTorch runs it, not what it does

# name, PyTorch class, hyper-parameters that differ from its defaults
CASES = [
    ("sgd", "SGD", {"lr": 0.1}),
    ("sgd_momentum", "SGD", {"lr": 0.1, "momentum": 0.9}),
    ("sgd_nesterov", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd_dampening", "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("sgd_weight_decay", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    ("sgd_maximize", "SGD", {"lr": 0.02, "momentum": 0.5, "maximize": True}),
    ("adam", "Adam", {"lr": 0.05}),
    ("adam_amsgrad", "Adam", {"lr": 0.05, "betas": (0.8, 0.95), "amsgrad": True}),
    ("adam_weight_decay", "Adam", {"lr": 0.05, "weight_decay": 0.05}),
    ("adam_maximize", "Adam", {"lr": 0.01, "maximize": True}),
    ("adamw", "AdamW", {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.1}),
    ("adamw_amsgrad", "AdamW", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("adamax", "Adamax", {"lr": 0.05}),
    ("adamax_weight_decay", "Adamax", {"lr": 0.05, "weight_decay": 0.05}),
    ("nadam", "NAdam", {"lr": 0.05}),
    ("nadam_weight_decay", "NAdam", {"lr": 0.05, "weight_decay": 0.05, "momentum_decay": 0.01}),
    ("nadam_decoupled", "NAdam", {"lr": 0.05, "weight_decay": 0.05,
                                  "decoupled_weight_decay": True}),
    ("radam", "RAdam", {"lr": 0.05}),
    ("radam_weight_decay", "RAdam", {"lr": 0.05, "weight_decay": 0.05}),
    ("radam_decoupled", "RAdam", {"lr": 0.05, "weight_decay": 0.05,
                                  "decoupled_weight_decay": True}),
    ("adagrad", "Adagrad", {"lr": 0.1}),
    ("adagrad_lr_decay", "Adagrad", {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.05,
                                     "initial_accumulator_value": 0.1}),
    ("adadelta", "Adadelta", {}),
    ("adadelta_weight_decay", "Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.05}),
    ("rmsprop", "RMSprop", {"lr": 0.01}),
    ("rmsprop_momentum", "RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.9}),
    ("rmsprop_centered", "RMSprop", {"lr": 0.01, "centered": True, "weight_decay": 0.05}),
    ("rmsprop_centered_momentum", "RMSprop", {"lr": 0.002, "centered": True, "momentum": 0.9}),
    ("rprop", "Rprop", {"lr": 0.01}),
    ("rprop_etas", "Rprop", {"lr": 0.02, "etas": (0.6, 1.3), "step_sizes": (1e-4, 0.1)}),
    ("asgd", "ASGD", {"lr": 0.1, "t0": 10.0}),
    ("asgd_weight_decay", "ASGD", {"lr": 0.1, "lambd": 1e-2, "alpha": 0.6, "t0": 20.0,
                                   "weight_decay": 0.05}),
    ("adafactor", "Adafactor", {"lr": 0.05, "weight_decay": 0.0}),
    ("adafactor_options", "Adafactor", {"lr": 0.05, "beta2_decay": -0.6, "eps": (1e-16, 1e-2),
                                        "d": 1.2, "weight_decay": 0.1}),
    ("muon", "Muon", {"lr": 0.02}),
    ("muon_options", "Muon", {"lr": 0.02, "momentum": 0.9, "nesterov": False, "ns_steps": 3,
                              "weight_decay": 0.05, "adjust_lr_fn": "match_rms_adamw"}),
    ("muon_tall", "Muon", {"lr": 0.01}),
    # 20 steps, in which the loss falls below the default tolerances.
    ("lbfgs_converging", "LBFGS", {"lr": 0.3, "max_iter": 5, "history_size": 4}),
    ("lbfgs_converging_strong_wolfe", "LBFGS", {"max_iter": 5, "history_size": 4,
                                                "line_search_fn": "strong_wolfe"}),
    # 100 steps that all move, by 7e-3 and 1e-4 at least: L-BFGS needs few unless they are short.
    # Of 90 such settings these amplify rounding the least for it (see "sensitivity").
    ("lbfgs", "LBFGS", {"lr": 0.02, "max_iter": 3, "history_size": 2, "tolerance_change": 1e-16}),
    ("lbfgs_strong_wolfe", "LBFGS", {"lr": 0.2, "max_iter": 1, "max_eval": 25, "history_size": 4,
                                     "tolerance_change": 1e-16,
                                     "line_search_fn": "strong_wolfe"}),
    ("sparse_adam", "SparseAdam", {"lr": 0.05}),
]
ALSO_F32 = ["sgd_nesterov", "adam", "adamw", "rmsprop", "adagrad", "rprop"]


def problem():
    generator = torch.Generator().manual_seed(11)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    data = {"x": draw(8, 3), "y": 0.9 * torch.tanh(draw(8, 4)), "w": draw(3, 4), "b": draw(4),
            "table": draw(6, 4), "target": 0.9 * torch.tanh(draw(100, 5, 4)),
            "rows": torch.randint(0, 6, (100, 5), generator=generator)}
    # what f32 holds, so that both types start from the same numbers
    return {k: v.float().double() if v.is_floating_point() else v for k, v in data.items()}


def hyper_parameters(optimizer):
    plain = {k: v for k, v in optimizer.defaults.items() if k not in FRESH}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


def run(case, kind, options, data, dtype, group=None, noise=None):
    """Returns parameters after each of the steps, losses, hyper-parameters and the optimizer."""
    names = {"Muon": ["w"], "SparseAdam": ["table"]}.get(kind, ["w", "b"])
    p = {k: v.to(dtype) if v.is_floating_point() else v for k, v in data.items()}
    if case.startswith("muon_tall"):
        names, p["w_transposed"] = ["w_transposed"], p["w"].T
    trained = {k: p[k].clone(memory_format=torch.contiguous_format).requires_grad_() for k in names}
    step = 0

    def loss_now():
        if kind == "SparseAdam":
            rows = torch.nn.functional.embedding(p["rows"][step], trained["table"], sparse=True)
            return (rows.tanh() - p["target"][step]).square().mean()
        w = trained["w_transposed"].T if "w_transposed" in trained else trained["w"]
        b = trained.get("b", p["b"])
        return ((p["x"] @ w + b).tanh() - p["y"]).square().mean()

    arguments = group(trained) if group else list(trained.values())
    simple = {} if kind in ("LBFGS", "SparseAdam", "Muon") else {"foreach": False}
    optimizer = getattr(torch.optim, kind)(arguments, **options, **simple)
    steps = [1, 2, 3, 5, 10, 20] if case.startswith("lbfgs_converging") else STEPS
    snapshots, losses = {k: [] for k in trained}, []

    def closure():
        optimizer.zero_grad()
        loss = loss_now()
        loss.backward()
        if noise is None:
            return loss
        draw = lambda x: 1e-15 * (2 * torch.rand(x.shape, generator=noise, dtype=dtype) - 1)
        for v in trained.values():
            v.grad += draw(v)
        return loss.detach() + draw(loss)

    for step in range(steps[-1]):
        losses.append(optimizer.step(closure).item())
        if step + 1 in steps:
            for k, v in trained.items():
                snapshots[k].append(v.detach().clone())
    losses.append(loss_now().item())
    tensors = {f"{case}.{k}": torch.stack(v) for k, v in snapshots.items()}
    tensors[f"{case}.losses"] = torch.tensor(losses, dtype=dtype)
    for k, v in trained.items():
        if kind == "ASGD":
            tensors[f"{case}.{k}.average"] = optimizer.state[v]["ax"]
        if kind == "LBFGS":
            evaluations = optimizer.state[next(iter(trained.values()))]["func_evals"]
            tensors[f"{case}.evaluations"] = torch.tensor(evaluations)
    assert all(torch.isfinite(t).all() for t in tensors.values()), case
    return tensors, steps, hyper_parameters(optimizer), list(trained)


def sensitivity(case, kind, options, data, dtype, group, tensors):
    if dtype != torch.float64:
        return None
    if kind == "LBFGS":
        noises = [torch.Generator().manual_seed(seed) for seed in range(8)]
        others = [run(case, kind, options, data, dtype, noise=noise)[0] for noise in noises]
    else:
        moved = {k: v * (1 + 1e-15) if k in ("w", "b", "table") else v for k, v in data.items()}
        others = [run(case, kind, options, moved, dtype, group)[0]]
    names = [k for k in tensors if k.split(".")[1] in ("w", "b", "table", "w_transposed")]
    far = [(other[k] - tensors[k]).abs().flatten(1).amax(1)
           for other in others for k in names if k.count(".") == 1]
    return [float(f"{d / 1e-15:.2g}") for d in torch.stack(far).amax(0).tolist()]


def two_groups(trained):
    return [{"params": [trained["w"]], "weight_decay": 0.1},
            {"params": [trained["b"]], "weight_decay": 0.0, "lr": 0.02}]


def decayed_vector(trained):
    return [{"params": [trained["w"]], "lr": 0.03},
            {"params": [trained["b"]], "weight_decay": 0.2}]


def make_trajectories(out):
    data = problem()
    tensors, cases = {f"problem.{k}": v for k, v in data.items()}, []

    def add(case, kind, options, dtype=torch.float64, group=None, **extra):
        new, steps, hyper, names = run(case, kind, options, data, dtype, group)
        tensors.update(new)
        cases.append({"name": case, "optimizer": kind.lower(), "hyper_parameters": hyper,
                      "dtype": "f32" if dtype == torch.float32 else "f64", "parameters": names,
                      "steps": steps, **extra,
                      "sensitivity": sensitivity(case, kind, options, data, dtype, group, new)})

    for case, kind, options in CASES:
        if kind == "Muon":
            add(case + "_bf16", kind, options, newton_schulz_dtype="bf16")
            # PyTorch iterates in bf16; the same in f64 tests everything else.
            bfloat16, torch.bfloat16 = torch.bfloat16, torch.float64
            add(case, kind, options, newton_schulz_dtype="f64")
            torch.bfloat16 = bfloat16
        else:
            add(case, kind, options)
        if case in ALSO_F32:
            add(case + "_f32", kind, options, torch.float32)
    add("adamw_groups", "AdamW", {"lr": 0.05}, group=two_groups,
        groups=[{"parameters": ["w"], "weight_decay": 0.1, "lr": 0.05},
                {"parameters": ["b"], "weight_decay": 0.0, "lr": 0.02}])
    add("sgd_groups", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, group=decayed_vector,
        groups=[{"parameters": ["w"], "weight_decay": 0.0, "lr": 0.03},
                {"parameters": ["b"], "weight_decay": 0.2, "lr": 0.1}])
    common.save(out, "trajectories", tensors, {
        "versions": common.versions("torch"),
        "problem": "x [8,3], y [8,4], first w [3,4], b [4]: loss = mean((tanh(x@w+b)-y)^2); "
                   "muon trains w alone (b stays; muon_tall holds it as w_transposed [4,3]); "
                   "sparseadam trains table [6,4] with sparse "
                   "gradients: loss at step s (0-based) = "
                   "mean((tanh(table[rows[s]])-target[s])^2), rows i64 [100,5], target [100,5,4]",
        "tensors": {
            "problem.NAME": "f64, each exactly an f32",
            "CASE.PARAMETER": "[len(steps), ...] the parameter after each of `steps`",
            "CASE.losses": "[last step + 1] loss before each step and after the last "
                           "(sparseadam: the last one with rows of the last step)",
            "CASE.PARAMETER.average": "asgd: the average (ax) after the last step",
            "CASE.evaluations": "lbfgs: i64 [], how often the loss was computed in all"},
        "cases": cases})


def optimizer_at(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


METRIC = [1.0, 0.9, 0.8, 0.8, 0.81, 0.8, 0.79999, 0.79998, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4,
          0.41, 0.42, 0.43, 0.44, 0.45, 0.46, 0.47, 0.48, 0.49, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3,
          0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.29, 0.28, 0.27, 0.26, 0.25, 0.3, 0.3, 0.3, 0.3, 0.3,
          0.3]
SCHEDULES = [
    ("step", "StepLR", {"step_size": 15, "gamma": 0.3}),
    ("multistep", "MultiStepLR", {"milestones": [10, 25, 26], "gamma": 0.5}),
    ("exponential", "ExponentialLR", {"gamma": 0.95}),
    ("cosine", "CosineAnnealingLR", {"T_max": 50, "eta_min": 0.001}),
    ("cosine_periodic", "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.0}),
    ("linear", "LinearLR", {"start_factor": 0.25, "end_factor": 0.8, "total_iters": 30}),
    ("constant", "ConstantLR", {"factor": 0.5, "total_iters": 7}),
    ("onecycle_cos", "OneCycleLR", {"max_lr": 0.4, "total_steps": 50, "anneal_strategy": "cos"}),
    ("onecycle_linear", "OneCycleLR", {"max_lr": 0.4, "total_steps": 50, "pct_start": 0.25,
                                       "anneal_strategy": "linear", "div_factor": 10.0,
                                       "final_div_factor": 100.0}),
    ("onecycle_three_phase", "OneCycleLR", {"max_lr": 0.4, "total_steps": 50,
                                            "three_phase": True}),
    ("polynomial", "PolynomialLR", {"total_iters": 40, "power": 2.0}),
    ("cosine_warm_restarts", "CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 2,
                                                             "eta_min": 0.01}),
    ("plateau", "ReduceLROnPlateau", {"mode": "min", "factor": 0.5, "patience": 2,
                                      "threshold": 1e-4, "threshold_mode": "rel", "cooldown": 0,
                                      "min_lr": 0.0}),
    ("plateau_cooldown", "ReduceLROnPlateau", {"mode": "min", "factor": 0.1, "patience": 3,
                                               "threshold": 0.05, "threshold_mode": "abs",
                                               "cooldown": 4, "min_lr": 0.002}),
    ("hf_cosine", "get_cosine_schedule_with_warmup", {"num_warmup_steps": 8,
                                                      "num_training_steps": 45,
                                                      "num_cycles": 0.5}),
    ("hf_cosine_min", "get_cosine_with_min_lr_schedule_with_warmup",
     {"num_warmup_steps": 8, "num_training_steps": 50, "num_cycles": 0.5, "min_lr": 0.01}),
    ("hf_linear", "get_linear_schedule_with_warmup", {"num_warmup_steps": 8,
                                                      "num_training_steps": 45}),
]


def make_schedules(out, count=50, lr=0.1):
    tensors, cases = {"metric": torch.tensor(METRIC, dtype=torch.float64)}, []
    for name, kind, options in SCHEDULES:
        optimizer = optimizer_at(lr)
        make = getattr(schedules, kind, None) or getattr(transformers, kind)
        scheduler = make(optimizer, **options)
        rates, momenta = [], []
        for i in range(count):
            rates.append(optimizer.param_groups[0]["lr"])
            momenta.append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            if i + 1 < count:
                scheduler.step(*([METRIC[i]] if kind == "ReduceLROnPlateau" else []))
        tensors[name] = torch.tensor(rates, dtype=torch.float64)
        case = {"name": name, "schedule": kind, "learning_rate": lr, "options": options}
        if kind == "OneCycleLR":
            tensors[name + ".momentum"] = torch.tensor(momenta, dtype=torch.float64)
            case["momentum"] = name + ".momentum"
        cases.append(case)
    common.save(out, "schedules", tensors, {
        "versions": common.versions("torch", "transformers"),
        "tensors": {"NAME": "f64 [50] the rate that step i (0-based) uses; the schedule moves after "
                            "each step, a plateau schedule with metric[i] after step i",
                    "NAME.momentum": "f64 [50] the momentum that one-cycle sets"},
        "cases": cases})


def make_clipping(out):
    generator = torch.Generator().manual_seed(12)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    grads = [draw(3, 4), draw(4), draw()]
    tensors = {f"gradient.{i}": g for i, g in enumerate(grads)}
    cases = []

    def add(name, function, **options):
        parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
        for p, g in zip(parameters, grads):
            p.grad = g.clone()
        norm = getattr(torch.nn.utils, function)(parameters, **options)
        tensors.update({f"{name}.{i}": p.grad for i, p in enumerate(parameters)})
        options = {k: "inf" if v == math.inf else v for k, v in options.items()}
        cases.append({"name": name, "function": function, "options": options})
        if norm is not None:
            tensors[f"{name}.norm"] = norm

    add("norm", "clip_grad_norm_", max_norm=1.0)
    add("norm_below", "clip_grad_norm_", max_norm=100.0)
    add("norm_1", "clip_grad_norm_", max_norm=2.0, norm_type=1.0)
    add("norm_inf", "clip_grad_norm_", max_norm=0.5, norm_type=math.inf)
    add("value", "clip_grad_value_", clip_value=0.4)

    model = torch.nn.Linear(3, 2).double()
    ema = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    weights, averages = [], []
    for _ in range(10):
        with torch.no_grad():
            model.weight.copy_(draw(2, 3))
        ema.update_parameters(model)
        weights.append(model.weight.detach().clone())
        averages.append(ema.module.weight.detach().clone())
    tensors |= {"ema.weights": torch.stack(weights), "ema.averages": torch.stack(averages)}
    common.save(out, "clipping", tensors, {
        "versions": common.versions("torch"),
        "tensors": {"gradient.I": "f64 gradients of three parameters before clipping",
                    "CASE.I": "the same after it", "CASE.norm": "f64 [], total norm before it",
                    "ema.weights": "f64 [10,2,3] the weight at each update",
                    "ema.averages": "f64 [10,2,3] the average after each; decay 0.9, the first "
                                    "update copies"},
        "cases": cases})


def main():
    out = common.out_folder(__doc__)
    make_trajectories(out)
    make_schedules(out)
    make_clipping(out)


main()
