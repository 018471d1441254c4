"""The paragraph on methods, in the words of a paper, with versions and references."""

from __future__ import annotations

from typing import Any

from vitascope.core.versions import versions
from vitascope.stats.response.params import ResponseParams

NORMALISED = {
    "auto": "expressed as percent of the {centre} of the negative controls of their plate where it had such controls",
    "negative": "expressed as percent of the {centre} of the negative controls of their plate",
    "controls": "expressed as percent of the way from the positive (0 %) to the negative controls (100 %) of their "
    "plate, taken as {centre}s",
    "plate": "expressed as percent of the {centre} of the treated wells of their plate",
    "none": "fitted as measured",
}
INTERVALS = {
    "profile": "profile likelihood (Bates and Watts 1988)",
    "delta": "the delta method",
    "bootstrap": "the bootstrap (Efron and Tibshirani 1993), {resamples} resamples of residuals",
}
SCATTER = {
    "auto": "Where a curve spans several plates or days, they hold the differences between these as well "
    "(cluster-robust variance, Bell and McCaffrey 2002); else they allow each well a scatter of its own (variance HC2) "
    "where White's test says that wells do not scatter alike (p < 0.2).",
    "blocks": "They take wells of one plate and day for equally scattered; where a curve spans several plates or days, "
    "they hold the differences between these as well (cluster-robust variance, Bell and McCaffrey 2002).",
    "equal": "They take all wells for equally scattered and independent.",
    "unequal": "They allow each well a scatter of its own (Kent 1982; variance HC2, Bell and McCaffrey 2002).",
}
NOT_HELD = (
    "Intervals hold how wells scatter. An error that all wells share is not in them, such as that of a model whose "
    "number follows the truth along a bent line: it moves every midpoint alike."
)
REFERENCES = {
    "response": "Ritz, Baty, Streibig, Gerhard (2015) Dose-response analysis using R. PLoS ONE 10:e0146021.",
    "profile": "Bates, Watts (1988) Nonlinear Regression Analysis and Its Applications, section 6.1.2. Wiley.",
    "auto": "White (1980) A heteroskedasticity-consistent covariance matrix estimator and a direct test for "
    "heteroskedasticity. Econometrica 48:817.",
    "blocks": "Bell, McCaffrey (2002) Bias reduction in standard errors for linear regression with multi-stage "
    "samples. Surv. Methodol. 28:169.",
    "unequal": "Kent (1982) Robust properties of likelihood ratio tests. Biometrika 69:19.",
    "bootstrap": "Efron, Tibshirani (1993) An Introduction to the Bootstrap. Chapman and Hall.",
    "z_prime": "Zhang, Chung, Oldenburg (1999) J. Biomol. Screen. 4:67: Z' factor.",
    "rout": "Motulsky, Brown (2006) BMC Bioinformatics 7:123: outliers.",
    "correct": "Tukey (1977) Exploratory Data Analysis. Addison-Wesley: sweeping by medians.",
    "dili": "Chen et al. (2016) Drug Discov. Today 21:648: DILIrank.",
    "roc": "DeLong, DeLong, Clarke-Pearson (1988) Biometrics 44:837: areas under ROC curves.",
}


def methods_of_run(provenance: dict[str, Any], title: str) -> str:
    """How images were judged."""
    if not provenance:
        return ""
    model, sha = str(provenance.get("model") or ""), str(provenance.get("model_sha256") or "")
    with_model = f" with the model {model} (SHA-256 {sha[:12]}…)" if model else ""
    where = ", ".join(str(provenance[name]) for name in ("device", "precision") if provenance.get(name))
    made = provenance.get("versions") or {}
    software = f"vitascope {made['vitascope']}" if made.get("vitascope") else "vitascope"
    return f"Images were analysed by the task “{title}” of {software}{with_model}{f' on {where}' if where else ''}."


def methods_of_response(params: ResponseParams) -> str:
    """How curves were fitted and judged."""
    centre = "median" if params.robust else "mean"
    place = "" if params.correct == "none" else f" after correction for {params.correct.replace('_', ' and ')}"
    said = [
        f"Fields of a well were averaged. Values were {NORMALISED[params.normalise].format(centre=centre)}{place}.",
        f"Log-logistic curves of {params.parameters} parameters were fitted to the log dose by least squares "
        f"(weights: {params.weights}).",
        "The IC50 is the dose halfway between the fitted plateaus; those beyond the doses tested are bounds.",
        f"Intervals of {100 * params.level:g} % are by "
        f"{INTERVALS[params.interval].format(resamples=params.resamples)}. {SCATTER[params.scatter]} {NOT_HELD}",
        f"Curves that an F-test does not tell from a constant (p > {params.flat_p:g}) are called flat.",
    ]
    if params.fit_controls:
        said.append("Negative controls of the plate counted as wells of dose zero in each curve.")
    if params.outliers == "rout":
        said.append("Outliers were left out by ROUT at a false discovery rate of 1 %.")
    if params.outside_wells == "leave_out":
        said.append("Wells whose image lies outside the model were left out.")
    return " ".join(said)


def software() -> str:
    """Versions of what shaped the report."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def references(params: ResponseParams | None, quality: bool, liver: bool) -> list[str]:
    """Sources of the methods that were used."""
    keys = ["response", params.interval, params.scatter, params.outliers] if params is not None else []
    keys[3:3] = ["blocks"] if params is not None and params.scatter == "auto" else []
    keys += ["correct"] if params is not None and params.correct != "none" else []
    keys += ["z_prime"] if quality else []
    keys += ["dili", "roc"] if liver else []
    return [REFERENCES[key] for key in keys if key in REFERENCES]
