"""The checks of ResKD's `claims.toml`."""

from book.resolution import recipes
from book.resolution.tables import LOW_TEACHER, full_and_low
from kdlib.study.chapter import Chapter
from kdlib.study.checks import Finding, any_better, better

DISTILLED = ("feature KD", "logit KD", "pixel-level logit KD")

# Positive controls

teacher_beats_direct = better("reskd/targets", "teacher", "direct")
kd_beats_direct = better("reskd/targets", "logit KD", "direct")
distillation_beats_epochs = any_better("reskd/targets", DISTILLED, "direct, twice the epochs")
full_beats_low = better("reskd/targets", "teacher", LOW_TEACHER)

# The paper's sentences

feature_beats_direct = better("reskd/targets", "feature KD", "direct")
feature_beats_logit = better("reskd/targets", "feature KD", "logit KD")
pixel_beats_logit = better("reskd/targets", "pixel-level logit KD", "logit KD")
pixel_beats_direct = better("reskd/targets", "pixel-level logit KD", "direct")
unfrozen_beats_frozen = better("reskd/batchnorm", "unfrozen", "frozen")


def pixel_needs_no_module(chapter: Chapter) -> Finding:
    """What pixel-level logit KD between unequal widths trains beside the student, counted."""
    pair = "Video Swin" if chapter.setting.profile == "paper" else "TSN, wider teacher"
    record = chapter.records("reskd/backbones")[pair, "KD"][0]
    added = record.result["cost"]["own_parameters"]
    verdict = "contradicted" if added else "supported"
    compared = "a student and a wider teacher, trained above"
    return Finding.counted(added, "parameters added", verdict, compared)


def saving_is_spatial(chapter: Chapter) -> Finding:
    """The saving from 224 to 112 pixels at 8 and at 32 frames: equal, so frames are not saved."""
    ratios = []
    for frames in (8, 32):
        full, low = full_and_low(recipes.tsn("resnet50"), frames)
        ratios.append(full["gmacs"] / low["gmacs"])
    change = ratios[1] - ratios[0]
    verdict = "supported" if abs(change) < 0.01 * ratios[0] else "contradicted"
    compared = f"TSN ResNet-50 is {ratios[0]:.2f} times cheaper at 8 frames, {ratios[1]:.2f} at 32"
    return Finding.counted(change, "change of the ratio", verdict, compared)
