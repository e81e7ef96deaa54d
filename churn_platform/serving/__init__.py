"""What the API serves from: releases on disk, score history and Bentos."""
