"""D3D (Stroud et al. 2020): a student of pixels learns what a network of optical flow answers."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from kdlib.losses.mse import mse_loss
from kdlib.methods.base import Weight, check_equal
from kdlib.methods.distillation import Distillation, Seen


class DistilledMotion(Distillation):
    """CE + weight * mean (student - teacher)^2, of logits or of pooled features.

    The teacher is a network that sees flow (`VideoModel.sees`), trained on labels by `supervised`;
    the clips' own flow is known in training (`DataSpec.known`) and only there: at test time the
    student sees pixels alone. A teacher that sees pixels is allowed, as a control.

    target: "logits" is D3D; "features" is MARS (Crasto et al. 2019, released code
        `MARS_train.py`): the features before the last layer, of equal width.
    weight: 1 for logits, 50 for features by default. What could be read of D3D, abstract and
        supplement, says neither what is compared nor its weight: logits, squared, at weight 1 are
        quoted from memory. MARS's 50 is its code's.
    """

    target: Literal["logits", "features"] = "logits"
    label_weight: Weight = 1.0
    weight: Weight = 1.0

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        weight = 50.0 if options.get("target") == "features" else 1.0
        super().__init__(student, teachers, **{"weight": weight, **options})
        if self.target == "features":
            check_equal("channels", student, teachers[0])

    def distillation(self, seen: Seen) -> Tensor:
        """The squared error of each sample."""
        if self.target == "features":
            return mse_loss(seen.student, seen.teacher, reduction="none")
        return mse_loss(seen.student_logits, seen.teacher_logits, reduction="none")
