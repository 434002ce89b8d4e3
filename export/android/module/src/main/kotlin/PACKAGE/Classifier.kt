package {{package}}

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer
import java.security.MessageDigest

/**
 * Labels images with the network in `assets/{{model_asset}}`.
 *
 * Opening compiles the network: do it once, off the main thread, and close it at the end. The buffers are reused from image to image,
 * so one instance serves one thread at a time.
 *
 * @param assets of the app: `context.assets`.
 * @property requestedAccelerator what LiteRT was asked for, and all it was asked for: no second choice is given, so that nothing runs
 *   elsewhere unnoticed. [Accelerator.GPU] needs the artifact `litert-gpu` in the app, else opening throws.
 * @throws com.google.ai.edge.litert.LiteRtException where LiteRT cannot open the network on that accelerator.
 * @throws IllegalStateException where the app's `labels.txt` is another one.
 */
class Classifier(assets: AssetManager, val requestedAccelerator: Accelerator = Accelerator.CPU) : AutoCloseable {

    /** One label per class, in the network's order. */
    val labels: List<String> = readLabels(assets)

    private val preprocessing = Preprocessing()
    private val model: CompiledModel = CompiledModel.create(assets, MODEL_ASSET, CompiledModel.Options(requestedAccelerator))
    private val inputs: List<TensorBuffer>
    private val outputs: List<TensorBuffer>

    init {
        val opened = mutableListOf<AutoCloseable>(model)
        try {
            inputs = model.createInputBuffers()
            opened += inputs
            outputs = model.createOutputBuffers()
            opened += outputs
            check(inputs.size == 1 && outputs.size == 1) { "$MODEL_ASSET has ${inputs.size} inputs and ${outputs.size} outputs" }
        } catch (failure: Throwable) {
            opened.asReversed().forEach(AutoCloseable::close)
            throw failure
        }
    }

    /**
     * The likeliest classes of an image, best first; of equal scores, the lower index.
     *
     * @param rgb three bytes a pixel, row by row, upright; `3 * width * height` of them.
     * @param count how many classes at most.
     */
    fun classify(rgb: ByteArray, width: Int, height: Int, count: Int = 5): List<LabelledScore> =
        largestScores(scores(rgb, width, height), labels, count)

    /**
     * The likeliest classes of an image, best first; of equal scores, the lower index.
     *
     * @param argb one Int a pixel, row by row, upright, as `Bitmap.getPixels` gives them; alpha is ignored.
     * @param count how many classes at most.
     */
    fun classify(argb: IntArray, width: Int, height: Int, count: Int = 5): List<LabelledScore> =
        largestScores(scores(argb, width, height), labels, count)

    /** What the network answers, one number per class: {{score_meaning}}. */
    fun scores(rgb: ByteArray, width: Int, height: Int): FloatArray = run(preprocessing.tensor(rgb, width, height))

    /** What the network answers, one number per class: {{score_meaning}}. */
    fun scores(argb: IntArray, width: Int, height: Int): FloatArray = run(preprocessing.tensor(argb, width, height))

    private fun run(tensor: FloatArray): FloatArray {
        inputs.single().writeFloat(tensor)
        model.run(inputs, outputs)
        val scores = outputs.single().readFloat()
        check(scores.size == CLASSES) { "$MODEL_ASSET answered ${scores.size} numbers for $CLASSES classes" }
        return scores
    }

    /** Gives back the buffers and the network; closing twice does no harm. */
    override fun close() {
        outputs.forEach(AutoCloseable::close)
        inputs.forEach(AutoCloseable::close)
        model.close()
    }

    companion object {
        /** The network's file in the assets. */
        const val MODEL_ASSET = "{{model_asset}}"

        /** The SHA-256 that file had when this module was generated. */
        const val MODEL_SHA256 = "{{model_sha256}}"

        /** The labels' file in the assets: UTF-8, one class a line. */
        const val LABELS_ASSET = "labels.txt"

        /** The SHA-256 of that file. Edited it (a translation, say)? Put its new hash here. */
        const val LABELS_SHA256 = "{{labels_sha256}}"

        /** How many classes the network tells apart. */
        const val CLASSES = {{classes}}

        private fun readLabels(assets: AssetManager): List<String> {
            val bytes = assets.open(LABELS_ASSET).use { it.readBytes() }
            val hash = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
            check(hash == LABELS_SHA256) {
                "$LABELS_ASSET in the app is not the file this module was generated with: " +
                    "another module ships one of the same name, or it was edited and LABELS_SHA256 was not"
            }
            val labels = bytes.decodeToString().removeSuffix("\n").split("\n")
            check(labels.size == CLASSES) { "$LABELS_ASSET has ${labels.size} lines for $CLASSES classes" }
            return labels
        }
    }
}
