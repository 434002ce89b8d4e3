package {{package}}

/**
 * From an image's RGB bytes to the network's input, bit for bit as the network was calibrated and evaluated.
 *
 * Written for dsmobile as `{{preprocessing}}`.
{{#resize}}
 * The shorter side is resized to [RESIZE] pixels ([Resampling]).
{{/resize}}
{{^resize}}
 * Images are not resized.
{{/resize}}
{{#crop}}
 * The centre is kept.
{{/crop}}
{{#grey}}
 * Red, green and blue become one grey (ITU-R 601-2 luma, in integers).
{{/grey}}
 * Every byte b becomes b * scale + offset in Float, rounded after each of the two.
 *
 * An instance reuses its arrays: one thread at a time, and what [tensor] returns is overwritten by the next call.
 */
public class Preprocessing {

    private val pixels = ByteArray(3 * INPUT_HEIGHT * INPUT_WIDTH)
    private val tensor = FloatArray(CHANNELS * INPUT_HEIGHT * INPUT_WIDTH)
    private var rgbOfArgb = ByteArray(0)
{{#resize}}
    private var resampling = Resampling(INPUT_WIDTH, INPUT_HEIGHT)
{{/resize}}

    /**
     * The network's input, [INPUT_HEIGHT] x [INPUT_WIDTH] x [CHANNELS], channels last.
     *
     * @param argb one Int a pixel, row by row, as `Bitmap.getPixels` gives them; alpha is ignored.
     */
    public fun tensor(argb: IntArray, width: Int, height: Int): FloatArray {
        requireSize(argb.size, width, height)
        require(argb.size <= Int.MAX_VALUE / 3) { "an image of $width x $height pixels is too large" }
        if (rgbOfArgb.size != 3 * argb.size) rgbOfArgb = ByteArray(3 * argb.size)
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
    public fun tensor(rgb: ByteArray, width: Int, height: Int): FloatArray {
        require(rgb.size % 3 == 0) { "${rgb.size} bytes are no whole number of RGB pixels" }
        requireSize(rgb.size / 3, width, height)
{{#resize}}
        if (resampling.width != width || resampling.height != height) resampling = Resampling(width, height)
        resampling.resample(rgb, pixels)
{{/resize}}
{{^resize}}
{{#crop}}
        require(width >= INPUT_WIDTH && height >= INPUT_HEIGHT) {
{{/crop}}
{{^crop}}
        require(width == INPUT_WIDTH && height == INPUT_HEIGHT) {
{{/crop}}
            "an image of $width x $height pixels does not fit the network's input of $INPUT_WIDTH x $INPUT_HEIGHT"
        }
{{#crop}}
        val left = (width - INPUT_WIDTH) / 2
        val top = (height - INPUT_HEIGHT) / 2
        for (y in 0 until INPUT_HEIGHT) {
            val start = 3 * ((top + y) * width + left)
            rgb.copyInto(pixels, 3 * y * INPUT_WIDTH, start, start + 3 * INPUT_WIDTH)
        }
{{/crop}}
{{^crop}}
        rgb.copyInto(pixels)
{{/crop}}
{{/resize}}
        numbers()
        return tensor
    }

    private fun requireSize(pixels: Int, width: Int, height: Int) {
        val fits = width > 0 && height > 0 && width.toLong() * height == pixels.toLong()
        require(fits) { "$pixels pixels for an image of $width x $height" }
    }

    private fun numbers() {
{{#grey}}
        for (pixel in tensor.indices) {
            val red = pixels[3 * pixel].toInt() and 0xff
            val green = pixels[3 * pixel + 1].toInt() and 0xff
            val blue = pixels[3 * pixel + 2].toInt() and 0xff
            tensor[pixel] = NUMBERS[0][(red * 19595 + green * 38470 + blue * 7471 + 0x8000) shr 16]
        }
{{/grey}}
{{^grey}}
        for (pixel in 0 until INPUT_HEIGHT * INPUT_WIDTH) {
            for (channel in 0 until CHANNELS) {
                tensor[3 * pixel + channel] = NUMBERS[channel][pixels[3 * pixel + {{byte_of_channel}}].toInt() and 0xff]
            }
        }
{{/grey}}
    }

    public companion object {
        /** Rows of the network's input. */
        public const val INPUT_HEIGHT: Int = {{input_height}}

        /** Columns of the network's input. */
        public const val INPUT_WIDTH: Int = {{input_width}}

        /** Numbers per pixel of the network's input: {{colour}}. */
        public const val CHANNELS: Int = {{channels}}
{{#resize}}

        /** Pixels of the shorter side before the crop. */
        public const val RESIZE: Int = {{resize}}
{{/resize}}

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
