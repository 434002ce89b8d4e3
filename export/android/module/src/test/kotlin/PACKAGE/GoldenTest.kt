package {{package}}

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Holds this module's arithmetic against what dsmobile computed for the same images: `src/test/resources/goldens`. */
class GoldenTest {

    private class Golden(
        val name: String,
        val width: Int,
        val height: Int,
        val rgb: ByteArray,
        val tensor: FloatArray,
        val outputs: FloatArray,
        val best: List<Int>,
    )

    /** From `index.json`, whose innermost objects are flat. */
    private val goldens: List<Golden> =
        Regex("\\{[^{}]*\\}").findAll(resource("index.json").decodeToString())
            .map { it.value }.filter { "\"rgb_sha256\"" in it }.map(::golden).toList()

    private fun golden(entry: String): Golden {
        fun found(key: String, value: String): String =
            checkNotNull(Regex("\"$key\":\\s*$value").find(entry)) { "no $key in $entry" }.groupValues[1]
        fun text(key: String): String = found(key, "\"([^\"]*)\"")
        fun whole(key: String): Int = found(key, "(\\d+)").toInt()
        fun file(key: String): ByteArray {
            val bytes = resource(text(key))
            assertEquals("${text(key)} was changed", text("${key}_sha256"), sha256(bytes))
            return bytes
        }
        val best = found("best", "\\[([^\\]]*)\\]").split(",").map { it.trim().toInt() }
        return Golden(text("name"), whole("width"), whole("height"), file("rgb"), floats(file("tensor")), floats(file("outputs")), best)
    }

    @Test
    fun thereAreGoldens() = assertTrue(goldens.isNotEmpty())

    @Test
    fun preprocessingEqualsTheGoldensBitForBit() {
        val preprocessing = Preprocessing()
        for (golden in goldens + goldens.reversed()) {
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
            val labels = List(golden.outputs.size) { "class $it" }
            val found = largestScores(golden.outputs, labels, golden.best.size)
            assertEquals(golden.name, golden.best, found.map { it.index })
            assertEquals(golden.name, golden.best.map { labels[it] }, found.map { it.label })
            assertEquals(golden.name, golden.best.map { golden.outputs[it] }, found.map { it.score })
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

    private fun resource(name: String): ByteArray =
        checkNotNull(javaClass.getResourceAsStream("/goldens/$name")) { "goldens/$name is missing" }.use { it.readBytes() }

    private fun floats(bytes: ByteArray): FloatArray {
        val numbers = FloatArray(bytes.size / 4)
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(numbers)
        return numbers
    }

    private fun sha256(bytes: ByteArray): String = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}
