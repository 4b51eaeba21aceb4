"""kdlib: knowledge distillation for video action recognition, the library behind the study book."""
