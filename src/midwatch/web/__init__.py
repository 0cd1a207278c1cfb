"""HTTP: alerts come in, people look and answer. Asyncio lives here and nowhere below."""
