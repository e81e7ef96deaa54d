"""Production moves: deciding, publishing, promoting, manual approval, rolling back."""
