"""The hand-off to an Android developer: a Gradle library module with the network, Kotlin that runs it, and golden vectors that prove it."""
