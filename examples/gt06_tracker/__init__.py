"""GPS trackers that speak GT06, with a database and a map: the product that docs/guide-gt06.md builds step by step."""
