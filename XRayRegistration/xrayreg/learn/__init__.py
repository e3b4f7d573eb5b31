"""Pose regression: networks that tell from one X-ray how the C-arm stood, learnt on simulated X-rays."""
