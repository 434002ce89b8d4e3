{{#resize}}
package {{package}}

import {{package}}.Preprocessing.Companion.INPUT_HEIGHT
import {{package}}.Preprocessing.Companion.INPUT_WIDTH
import {{package}}.Preprocessing.Companion.RESIZE
import kotlin.math.abs

/**
 * How images of one size become the network's input: a triangle filter as wide as the larger of one source and one
 * target pixel, with 22-bit integer weights, along the rows, then down the columns, each pass rounded half up to a byte.
 *
 * Only the pixels that the crop keeps are computed: each depends on none of the others.
 */
internal class Resampling(val width: Int, val height: Int) {

    private val columns: Taps
    private val rows: Taps
    private val top: Int // the first source row that is needed
    private val narrowed: ByteArray // the source rows that are needed, as wide as the input

    init {
        val shorter = minOf(width, height)
        val resizedWidth = resized(width, shorter)
        val resizedHeight = resized(height, shorter)
{{#crop}}
        require(resizedWidth >= INPUT_WIDTH && resizedHeight >= INPUT_HEIGHT) {
{{/crop}}
{{^crop}}
        require(resizedWidth == INPUT_WIDTH.toLong() && resizedHeight == INPUT_HEIGHT.toLong()) {
{{/crop}}
            "an image of $width x $height pixels does not fit the network's input of $INPUT_WIDTH x $INPUT_HEIGHT"
        }
        columns = Taps(width, resizedWidth, INPUT_WIDTH)
        rows = Taps(height, resizedHeight, INPUT_HEIGHT)
        top = rows.first.first()
        narrowed = ByteArray(3 * INPUT_WIDTH * (rows.first.last() + rows.weights.last().size - top))
    }

    private fun resized(length: Int, shorter: Int): Long = (2L * length * RESIZE + shorter) / (2L * shorter)

    /** Fills [pixels] with what the network sees of [rgb]. */
    fun resample(rgb: ByteArray, pixels: ByteArray) {
        for (y in 0 until narrowed.size / (3 * INPUT_WIDTH)) {
            for (x in 0 until INPUT_WIDTH) {
                val start = 3 * ((top + y) * width + columns.first[x])
                weigh(rgb, start, 3, columns.weights[x], narrowed, 3 * (y * INPUT_WIDTH + x))
            }
        }
        for (y in 0 until INPUT_HEIGHT) {
            for (x in 0 until INPUT_WIDTH) {
                val start = 3 * ((rows.first[y] - top) * INPUT_WIDTH + x)
                weigh(narrowed, start, 3 * INPUT_WIDTH, rows.weights[y], pixels, 3 * (y * INPUT_WIDTH + x))
            }
        }
    }

    /** One pixel of [to] from as many pixels of [from] as there are [weights]. */
    private fun weigh(from: ByteArray, start: Int, step: Int, weights: IntArray, to: ByteArray, at: Int) {
        var red = HALF
        var green = HALF
        var blue = HALF
        var position = start
        for (weight in weights) {
            red += (from[position].toInt() and 0xff) * weight
            green += (from[position + 1].toInt() and 0xff) * weight
            blue += (from[position + 2].toInt() and 0xff) * weight
            position += step
        }
        to[at] = (red shr PRECISION_BITS).coerceIn(0, 255).toByte()
        to[at + 1] = (green shr PRECISION_BITS).coerceIn(0, 255).toByte()
        to[at + 2] = (blue shr PRECISION_BITS).coerceIn(0, 255).toByte()
    }

    /** The first source pixel and the weights of each of the [count] target pixels in the middle of [target]. */
    private class Taps(source: Int, target: Long, count: Int) {
        val first = IntArray(count)
        val weights: Array<IntArray>

        init {
            val scale = source.toDouble() / target
            val support = maxOf(scale, 1.0)
            val cropped = (target - count) / 2
            weights = Array(count) { index ->
                val centre = (cropped + index + 0.5) * scale
                val low = maxOf((centre - support + 0.5).toInt(), 0)
                val high = minOf((centre + support + 0.5).toInt(), source)
                val raw = DoubleArray(high - low) { maxOf(0.0, 1.0 - abs((low + it - centre + 0.5) * (1.0 / support))) }
                var total = 0.0
                for (value in raw) total += value
                first[index] = low
                IntArray(raw.size) { (0.5 + raw[it] / total * (1 shl PRECISION_BITS)).toInt() }
            }
        }
    }

    private companion object {
        const val PRECISION_BITS = 22
        const val HALF = 1 shl (PRECISION_BITS - 1)
    }
}
{{/resize}}
