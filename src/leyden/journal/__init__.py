"""The durable vocabulary: every record a journal may hold, and how it is encoded (golden files guard it)."""
