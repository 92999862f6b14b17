"""pyinfra operations that pyinfra lacks: each compares what is with what should be and yields only the difference."""
