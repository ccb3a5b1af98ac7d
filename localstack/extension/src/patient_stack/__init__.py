"""What the free LocalStack lacks and this system needs: one module for each missing part."""
