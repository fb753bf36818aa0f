"""Where prices come from: generated or recorded markets, their history, and the bars made of them."""
