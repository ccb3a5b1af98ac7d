"""What the free LocalStack lacks and this system needs: one module per missing part."""
