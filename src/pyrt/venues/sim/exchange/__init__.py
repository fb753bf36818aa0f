"""The exchange itself, pure: time, market records and requests in; answers and updates out."""
