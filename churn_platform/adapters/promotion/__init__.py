"""Production moves: deciding, publishing, promoting, people's approval, rolling back."""
