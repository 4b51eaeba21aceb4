"""What is measured on trained models and on their records."""
