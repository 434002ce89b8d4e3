// JUnit 4's names with the overloads among which Kotlin has to choose.
package org.junit

annotation class Test

object Assert {
    @JvmStatic fun assertTrue(condition: Boolean) = assertTrue("", condition)

    @JvmStatic fun assertTrue(message: String, condition: Boolean) {
        if (!condition) throw AssertionError(message)
    }

    @JvmStatic fun assertEquals(expected: Any?, actual: Any?) = assertEquals("", expected, actual)

    @JvmStatic fun assertEquals(message: String, expected: Any?, actual: Any?) {
        if (expected != actual) throw AssertionError("$message: expected $expected, was $actual")
    }

    @JvmStatic fun assertEquals(expected: Long, actual: Long) = assertEquals("", expected, actual)

    @JvmStatic fun assertEquals(message: String, expected: Long, actual: Long) = assertEquals(message, expected as Any, actual as Any)

    @JvmStatic fun assertEquals(expected: Double, actual: Double, delta: Double) = assertTrue("$delta", kotlin.math.abs(expected - actual) <= delta)

    @JvmStatic fun assertEquals(expected: Float, actual: Float, delta: Float) = assertTrue("$delta", kotlin.math.abs(expected - actual) <= delta)
}
