"""Machine learning: a GPU for each instance, and the model that they load, by its checksum."""
