package {{package}}

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Holds this module's arithmetic against the goldens, without Android. */
class GoldenTest {

    private val goldens = readGoldens()

    @Test
    fun thereAreGoldens() = assertTrue(goldens.isNotEmpty())

    @Test
    fun preprocessingEqualsTheGoldensBitForBit() {
        val preprocessing = Preprocessing()
        for (golden in goldens + goldens.asReversed()) {
            assertBits(golden.name, golden.tensor, preprocessing.tensor(golden.rgb, golden.width, golden.height))
        }
    }

    @Test
    fun argbGivesWhatRgbGives() {
        val preprocessing = Preprocessing()
        for (golden in goldens) {
            fun byte(at: Int): Int = golden.rgb[at].toInt() and 0xff
            val argb = IntArray(golden.width * golden.height) { pixel ->
                (pixel shl 24) or (byte(3 * pixel) shl 16) or (byte(3 * pixel + 1) shl 8) or byte(3 * pixel + 2)
            }
            assertBits(golden.name, golden.tensor, preprocessing.tensor(argb, golden.width, golden.height))
        }
    }

    @Test
    fun theLargestOutputsAreTheGoldens() {
        for (golden in goldens) {
            val labels = MutableList(golden.outputs.size) { "class $it" }
            for (best in golden.top) labels[best.index] = best.label
            assertEquals(golden.name, golden.top, largestScores(golden.outputs, labels, golden.top.size))
        }
    }

    @Test
    fun ofEqualScoresTheLowerIndexComesFirst() {
        val found = largestScores(floatArrayOf(0f, 2f, -0f, 2f, 1f), listOf("a", "b", "c", "d", "e"), 9)
        assertEquals(listOf(1, 3, 4, 0, 2), found.map { it.index })
    }

    private fun assertBits(name: String, expected: FloatArray, found: FloatArray) {
        assertEquals("$name: how many numbers", expected.size, found.size)
        for (at in expected.indices) {
            if (expected[at].toRawBits() != found[at].toRawBits()) {
                throw AssertionError("$name: number $at is ${found[at]}, not ${expected[at]}")
            }
        }
    }
}
