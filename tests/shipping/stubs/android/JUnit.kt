// JUnit 4.13's names with the overloads among which Kotlin has to choose.
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

    @JvmStatic fun assertArrayEquals(expecteds: FloatArray, actuals: FloatArray, delta: Float) = assertArrayEquals("", expecteds, actuals, delta)

    @JvmStatic fun assertArrayEquals(message: String, expecteds: FloatArray, actuals: FloatArray, delta: Float) {
        assertEquals("$message: how many", expecteds.size, actuals.size)
        for (at in expecteds.indices) {
            assertTrue("$message: number $at is ${actuals[at]}, not ${expecteds[at]}", kotlin.math.abs(expecteds[at] - actuals[at]) <= delta)
        }
    }

    /** `org.junit.function.ThrowingRunnable`. */
    fun interface Runs {
        fun run()
    }

    @JvmStatic fun <T : Throwable> assertThrows(expectedThrowable: Class<T>, runnable: Runs): T {
        val thrown = runCatching { runnable.run() }.exceptionOrNull() ?: throw AssertionError("nothing was thrown")
        return expectedThrowable.cast(thrown)
    }
}
