"""A stand-in for GKD (Wang et al. 2024): features distilled through a generative model.

The released code trains conditional variational auto-encoders of student and teacher on maps with
attention, in turns with the student, on networks that have that attention. Here: one auto-encoder
of the teacher's pooled features, trained along with the student, who learns what it makes of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.losses.kd import at_least_float32
from kdlib.methods.distillation import Distillation, Seen


class GenerativeDistillation(Distillation):
    """label_weight * CE + weight * mean (project(f_s) - decode(f_t))^2 + the auto-encoder's loss.

    f_s, f_t: pooled features, in units of the teacher's: divided by their root mean square over the
    batch. The auto-encoder's loss is mean (decode - f_t)^2 + 0.1 KL(N(mu, sigma^2) || N(0, 1)), as
    in GKD's code; its gradient does not reach the student, nor the student's the auto-encoder. The
    weights are KD's; the size of the latent vector is ours.
    """

    latent: PositiveInt = 32

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        super().__init__(student, teachers, **options)
        channels, latent = self.teacher.channels, self.latent
        self.projection = nn.Linear(self.student.channels, channels)
        self.encoder = nn.Linear(channels, 2 * latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, 2 * latent), nn.ReLU(), nn.Linear(2 * latent, channels)
        )

    def distillation(self, seen: Seen) -> Tensor:
        """The student's and the auto-encoder's loss of each sample."""
        scale = seen.teacher.square().mean().sqrt().clamp_min(1e-6)
        features = seen.teacher / scale
        mean, log_variance = at_least_float32(self.encoder(features)).chunk(2, dim=1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        made = self.decoder(mean + noise * torch.exp(0.5 * log_variance))
        rebuilt = (made - features).square().mean(1)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean(1)
        with torch.no_grad():
            target = self.decoder(mean)
        projected = at_least_float32(self.projection(seen.student))
        imitation = (projected - target).square().mean(1)
        return imitation + rebuilt + 0.1 * divergence
