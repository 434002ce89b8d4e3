// Of android.graphics.Bitmap what the module calls, with the nullability that Android documents: `copy` may give null, `getConfig` too.
package android.graphics

class Bitmap private constructor(private val argb: IntArray, val width: Int, val height: Int, val config: Config?) {
    enum class Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    var isRecycled = false
        private set

    fun copy(config: Config, isMutable: Boolean): Bitmap? = Bitmap(argb.copyOf(), width, height, config).also { check(!isMutable) }

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(config != Config.HARDWARE) { "unable to getPixels(), pixel access is not supported on Config#HARDWARE bitmaps" }
        check(!isRecycled && offset == 0 && x == 0 && y == 0 && stride == width && width == this.width && height == this.height)
        argb.copyInto(pixels)
    }

    fun recycle() {
        isRecycled = true
    }

    companion object {
        @JvmStatic fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = Bitmap(colors.copyOf(), width, height, config)
    }
}
