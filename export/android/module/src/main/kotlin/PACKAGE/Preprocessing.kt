package {{package}}

import kotlin.math.abs

/**
 * From an image's RGB bytes to the network's input, exactly as the network was calibrated and evaluated.
 *
 * Written for dsmobile as: `{{preprocessing}}`
 *
 * The shorter side is resized by a triangle filter as wide as the larger of one source and one target pixel, with 22-bit integer
 * weights, along the rows, then down the columns, each pass rounded half up to a byte; then the centre is cropped, and every byte b
 * becomes b * scale + offset in Float, rounded after each of the two. Only the pixels that the crop keeps are computed: each depends on
 * none of the others. `GoldenTest` holds this against golden vectors, bit for bit.
 *
 * An instance reuses its arrays: one thread at a time, and what [tensor] returns is overwritten by the next call.
 */
class Preprocessing {

    private val tensor = FloatArray(INPUT_HEIGHT * INPUT_WIDTH * CHANNELS)
    private val pixels = ByteArray(INPUT_HEIGHT * INPUT_WIDTH * 3)
    private var rgbOfArgb = ByteArray(0)
    private var narrowed = ByteArray(0)
    private var plan: Plan? = null

    /**
     * The network's input, [INPUT_HEIGHT] x [INPUT_WIDTH] x [CHANNELS], channels last.
     *
     * @param argb one Int a pixel, row by row; alpha is ignored.
     */
    fun tensor(argb: IntArray, width: Int, height: Int): FloatArray {
        require(width > 0 && height > 0) { "an image of $width x $height pixels" }
        require(argb.size.toLong() == width.toLong() * height) { "${argb.size} pixels for an image of $width x $height" }
        require(argb.size <= Int.MAX_VALUE / 3) { "an image of $width x $height pixels is too large" }
        if (rgbOfArgb.size != argb.size * 3) rgbOfArgb = ByteArray(argb.size * 3)
        for (pixel in argb.indices) {
            rgbOfArgb[3 * pixel] = (argb[pixel] shr 16).toByte()
            rgbOfArgb[3 * pixel + 1] = (argb[pixel] shr 8).toByte()
            rgbOfArgb[3 * pixel + 2] = argb[pixel].toByte()
        }
        return tensor(rgbOfArgb, width, height)
    }

    /**
     * The network's input, [INPUT_HEIGHT] x [INPUT_WIDTH] x [CHANNELS], channels last.
     *
     * @param rgb three bytes a pixel, row by row.
     */
    fun tensor(rgb: ByteArray, width: Int, height: Int): FloatArray {
        require(width > 0 && height > 0) { "an image of $width x $height pixels" }
        require(rgb.size.toLong() == 3L * width * height) { "${rgb.size} bytes for an RGB image of $width x $height" }
        val plan = plan?.takeIf { it.width == width && it.height == height } ?: Plan(width, height).also { plan = it }
        resizeAndCrop(rgb, plan)
        numbers()
        return tensor
    }

    /** Which source pixels an image of [width] x [height] needs, and with which weights. */
    private class Plan(val width: Int, val height: Int) {
        val columns: Taps
        val rows: Taps

        init {
            val shorter = minOf(width, height)
            val targetWidth = if (RESIZE > 0) resized(width, shorter) else width
            val targetHeight = if (RESIZE > 0) resized(height, shorter) else height
            val left = (targetWidth - INPUT_WIDTH) / 2
            val top = (targetHeight - INPUT_HEIGHT) / 2
            val fits = targetWidth == INPUT_WIDTH && targetHeight == INPUT_HEIGHT
            require(fits || CROP && targetWidth >= INPUT_WIDTH && targetHeight >= INPUT_HEIGHT) {
                "an image of $width x $height pixels does not fit the network's input of $INPUT_WIDTH x $INPUT_HEIGHT"
            }
            columns = Taps(width, targetWidth, left, INPUT_WIDTH)
            rows = Taps(height, targetHeight, top, INPUT_HEIGHT)
        }

        private fun resized(length: Int, shorter: Int): Int = Math.toIntExact((2L * length * RESIZE + shorter) / (2L * shorter))
    }

    /** The first source pixel and the weights of each of [count] target pixels, the first of which is [from]. */
    private class Taps(source: Int, target: Int, from: Int, count: Int) {
        val first = IntArray(count)
        val weights: Array<IntArray>

        init {
            val scale = source.toDouble() / target
            val support = maxOf(scale, 1.0)
            weights = Array(count) { index ->
                val centre = (from + index + 0.5) * scale
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

    private fun resizeAndCrop(rgb: ByteArray, plan: Plan) {
        val top = plan.rows.first.first()
        val bottom = plan.rows.first.last() + plan.rows.weights.last().size
        if (narrowed.size < (bottom - top) * INPUT_WIDTH * 3) narrowed = ByteArray((bottom - top) * INPUT_WIDTH * 3)
        for (y in top until bottom) {
            for (x in 0 until INPUT_WIDTH) {
                val start = 3 * (y * plan.width + plan.columns.first[x])
                weigh(rgb, start, 3, plan.columns.weights[x], narrowed, 3 * ((y - top) * INPUT_WIDTH + x))
            }
        }
        for (y in 0 until INPUT_HEIGHT) {
            for (x in 0 until INPUT_WIDTH) {
                val start = 3 * ((plan.rows.first[y] - top) * INPUT_WIDTH + x)
                weigh(narrowed, start, 3 * INPUT_WIDTH, plan.rows.weights[y], pixels, 3 * (y * INPUT_WIDTH + x))
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

    private fun numbers() {
        var at = 0
        for (pixel in 0 until INPUT_HEIGHT * INPUT_WIDTH) {
            val red = pixels[3 * pixel].toInt() and 0xff
            val green = pixels[3 * pixel + 1].toInt() and 0xff
            val blue = pixels[3 * pixel + 2].toInt() and 0xff
            when (COLOUR) {
                "grey" -> tensor[at++] = NUMBERS[0][(red * 19595 + green * 38470 + blue * 7471 + 0x8000) shr 16]
                "bgr" -> {
                    tensor[at++] = NUMBERS[0][blue]
                    tensor[at++] = NUMBERS[1][green]
                    tensor[at++] = NUMBERS[2][red]
                }
                else -> {
                    tensor[at++] = NUMBERS[0][red]
                    tensor[at++] = NUMBERS[1][green]
                    tensor[at++] = NUMBERS[2][blue]
                }
            }
        }
    }

    companion object {
        /** Rows of the network's input. */
        const val INPUT_HEIGHT = {{input_height}}

        /** Columns of the network's input. */
        const val INPUT_WIDTH = {{input_width}}

        /** Numbers per pixel of the network's input. */
        const val CHANNELS = {{channels}}

        private const val COLOUR = "{{colour}}" // rgb, bgr or grey (ITU-R 601-2 luma)
        private const val RESIZE = {{resize}} // the shorter side in pixels; 0 leaves the image as it is
        private const val CROP = {{crop}} // whether a larger image loses its edges
        private const val PRECISION_BITS = 22
        private const val HALF = 1 shl (PRECISION_BITS - 1)

        private val SCALE = floatArrayOf({{scale}}) // per channel
        private val OFFSET = floatArrayOf({{offset}})

        /** What each byte of each channel becomes. */
        private val NUMBERS = Array(CHANNELS) { channel ->
            FloatArray(256) { byte ->
                val scaled = byte.toFloat() * SCALE[channel]
                scaled + OFFSET[channel]
            }
        }
    }
}
