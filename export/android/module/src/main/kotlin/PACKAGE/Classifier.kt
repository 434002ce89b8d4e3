package {{package}}

import android.content.res.AssetManager
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer

/**
 * Labels images with the network in `assets/{{model_asset}}`.
 *
 * Opening compiles the network: do it once, off the main thread, and [close] it at the end. Images must be upright:
 * [Preprocessing] makes the network's input of them, and refuses sizes that do not fit. All buffers are reused from
 * image to image; calls from several threads wait for each other, and so does [close].
 *
 * @param assets of the app: `context.assets`.
 * @property accelerator what runs every operation of the network: [Accelerator.CPU] or [Accelerator.GPU]. LiteRT is
 *   asked for this one alone, and then refuses to open a network of which it would have to run a part elsewhere. The
 *   GPU needs the artifact `litert-gpu` in the app.
 * @throws IllegalArgumentException for another accelerator: LiteRT adds the CPU to the NPU and does not say which ran.
 * @throws LiteRtException where LiteRT cannot run the network on that accelerator.
 * @throws IllegalStateException where the labels in the app's assets are not this network's.
 */
public class Classifier(
    assets: AssetManager,
    public val accelerator: Accelerator = Accelerator.CPU,
) : AutoCloseable {

    /** One label per class, in the network's order. */
    public val labels: List<String> = assets.open(LABELS_ASSET).bufferedReader().useLines { it.toList() }

    private val preprocessing = Preprocessing()
    private val opened = mutableListOf<AutoCloseable>() // in this order; closed in the opposite one
    private val model: CompiledModel
    private val inputs: List<TensorBuffer>
    private val outputs: List<TensorBuffer>
    private var argb = IntArray(0)

    init {
        require(accelerator == Accelerator.CPU || accelerator == Accelerator.GPU) {
            "whether all would run on $accelerator cannot be known"
        }
        check(labels.size == CLASSES) { "$LABELS_ASSET has ${labels.size} lines for $CLASSES classes" }
        try {
            val environment = Environment.create()
            opened += environment
            model = CompiledModel.create(assets, MODEL_ASSET, CompiledModel.Options(accelerator), environment)
            opened += model
            inputs = model.createInputBuffers()
            opened += inputs
            outputs = model.createOutputBuffers()
            opened += outputs
        } catch (failure: Throwable) {
            close()
            throw failure
        }
    }

    /**
     * The likeliest classes of an image, best first; of equal scores, the lower index.
     *
     * @param bitmap of any configuration; colours are read as sRGB, and transparency is ignored.
     * @param count how many classes at most.
     * @throws IllegalArgumentException where the image does not fit the network's input.
     * @throws IllegalStateException after [close].
     */
    public fun classify(bitmap: Bitmap, count: Int = 5): List<LabelledScore> =
        largestScores(scores(bitmap), labels, count)

    /**
     * The likeliest classes of an image, best first; of equal scores, the lower index.
     *
     * @param rgb three bytes a pixel, row by row.
     * @param count how many classes at most.
     * @throws IllegalArgumentException where the image does not fit the network's input.
     * @throws IllegalStateException after [close].
     */
    public fun classify(rgb: ByteArray, width: Int, height: Int, count: Int = 5): List<LabelledScore> =
        largestScores(scores(rgb, width, height), labels, count)

    /** What the network answers, one number per class: {{score_meaning}}. */
    @Synchronized
    public fun scores(bitmap: Bitmap): FloatArray {
        val readable =
            if (bitmap.config == Bitmap.Config.ARGB_8888) bitmap
            else checkNotNull(bitmap.copy(Bitmap.Config.ARGB_8888, false)) { "the bitmap cannot be copied" }
        if (argb.size != bitmap.width * bitmap.height) argb = IntArray(bitmap.width * bitmap.height)
        readable.getPixels(argb, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        if (readable !== bitmap) readable.recycle()
        return run(preprocessing.tensor(argb, bitmap.width, bitmap.height))
    }

    /** What the network answers, one number per class: {{score_meaning}}. */
    @Synchronized
    public fun scores(rgb: ByteArray, width: Int, height: Int): FloatArray =
        run(preprocessing.tensor(rgb, width, height))

    private fun run(tensor: FloatArray): FloatArray {
        check(opened.isNotEmpty()) { "this Classifier was closed" }
        inputs.single().writeFloat(tensor)
        model.run(inputs, outputs)
        return outputs.single().readFloat()
    }

    /** Gives back everything that was opened; closing twice does no harm. */
    @Synchronized
    override fun close() {
        opened.asReversed().forEach(AutoCloseable::close)
        opened.clear()
    }

    public companion object {
        /** The network's file in the assets. */
        public const val MODEL_ASSET: String = "{{model_asset}}"

        /** The labels' file in the assets: UTF-8, one class a line. */
        public const val LABELS_ASSET: String = "{{labels_asset}}"

        /** How many classes the network tells apart. */
        public const val CLASSES: Int = {{classes}}

        /**
         * Opens the network on the GPU or, where LiteRT refuses that, on the CPU; [accelerator] says which.
         *
         * @param refused hears why it is not the GPU.
         */
        public fun onGpuOrCpu(assets: AssetManager, refused: (LiteRtException) -> Unit): Classifier =
            try {
                Classifier(assets, Accelerator.GPU)
            } catch (reason: LiteRtException) {
                refused(reason)
                Classifier(assets, Accelerator.CPU)
            }
    }
}
