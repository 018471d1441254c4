"""Modules that are the same for all tasks and need torch: loaded when they are wanted, typed by their protocols."""

from __future__ import annotations

from vitascope.core.late_import import import_late
from vitascope.tasks.protocols import (
    CalibrationModule,
    ComparisonModule,
    DenoiseModule,
    ExchangeModule,
    FineTuningModule,
    GraphDomainModule,
    GraphImportModule,
    PairCheckModule,
    PlateLevelsModule,
    QuantiseModule,
    StabilityModule,
    StackModelModule,
    StackTrainingModule,
    StainTiersModule,
)


def load_finetuning() -> FineTuningModule:
    """Import the module that sets up fine-tuning."""
    return import_late("vitascope.training.finetune", FineTuningModule)


def load_calibration() -> CalibrationModule:
    """Import the module that calibrates models of wells."""
    return import_late("vitascope.training.calibration.calibrate", CalibrationModule)


def load_pair_checks() -> PairCheckModule:
    """Import the module that says what is wrong with a pair; free of torch, whose loading holds a viewer up."""
    return import_late("vitascope.training.data.image_pairs", PairCheckModule)


def load_exchange() -> ExchangeModule:
    """Import the module that reads and writes models of other programs."""
    return import_late("vitascope.exchange.api", ExchangeModule)


def load_graph_import() -> GraphImportModule:
    """Import the module that takes in networks of other programs to be run as they are."""
    return import_late("vitascope.exchange.graph_import", GraphImportModule)


def load_graph_domain() -> GraphDomainModule:
    """Import the module that describes images which a network of another program does well on."""
    return import_late("vitascope.pipelines.stain_domain", GraphDomainModule)


def load_quantise() -> QuantiseModule:
    """Import the module that finds how networks round to 8 bit."""
    return import_late("vitascope.pipelines.quantise", QuantiseModule)


def load_stack_training() -> StackTrainingModule:
    """Import the module that trains networks of volumes on stacks and their stains."""
    return import_late("vitascope.training.fnet_stack", StackTrainingModule)


def load_stack_model() -> StackModelModule:
    """Import the module that makes a model of a network of volumes that was trained here."""
    return import_late("vitascope.exchange.fnet_model", StackModelModule)


def load_plate_levels() -> PlateLevelsModule:
    """Import the module that finds grey levels which all images of a plate share; needs no torch."""
    return import_late("vitascope.engine.plate_levels", PlateLevelsModule)


def load_comparison() -> ComparisonModule:
    """Import the module that compares models."""
    return import_late("vitascope.training.compare_models", ComparisonModule)


def load_stability() -> StabilityModule:
    """Import the module that makes images worse and says how a model suffers."""
    return import_late("vitascope.training.stability.study", StabilityModule)


def load_stain_tiers() -> StainTiersModule:
    """Import the module that compares predicted with real stains."""
    return import_late("vitascope.pipelines.stain_tiers", StainTiersModule)


def load_denoising() -> DenoiseModule:
    """Import the module that takes noise off pictures."""
    return import_late("vitascope.training.noise2void", DenoiseModule)
