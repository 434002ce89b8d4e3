// Runs what was generated, on a plain JVM, as a file of tab-separated commands says, and answers a line for each.
package harness

import android.content.res.AssetManager
import android.graphics.Bitmap
import androidx.test.platform.app.InstrumentationRegistry
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.FakeLiteRt
import com.google.ai.edge.litert.LiteRtException
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun main(arguments: Array<String>) {
    for (line in File(arguments.single()).readLines()) {
        val words = line.split("\t")
        FakeLiteRt.log.clear()
        FakeLiteRt.failAt = ""
        FakeLiteRt.gpuTakesEverything = true
        val said = try {
            when (words[0]) {
                "tests" -> tests(words[1])
                "device" -> device(words[1], File(words[2]), File(words[3]))
                "tensor" -> tensor(words[1], File(words[2]).readBytes(), words[3].toInt(), words[4].toInt(), File(words[5]))
                "labelled" -> labelled(words[1], File(words[2]), File(words[3]).readLines())
                "lifecycle" -> lifecycle(words[1], File(words[2]), words[3])
                "accelerators" -> accelerators(words[1], File(words[2]))
                "bitmaps" -> bitmaps(words[1], File(words[2]))
                else -> error(line)
            }
        } catch (failure: InvocationTargetException) {
            "${failure.targetException::class.java.simpleName}: ${failure.targetException.message} | open ${FakeLiteRt.open}"
        }
        println(said.replace("\n", "\\n"))
    }
}

private fun tests(name: String): String {
    val type = Class.forName(name)
    val methods = type.methods.filter { it.isAnnotationPresent(org.junit.Test::class.java) }.sortedBy { it.name }
    methods.forEach { it.invoke(type.getDeclaredConstructor().newInstance()) }
    return "passed: ${methods.joinToString(" ") { it.name }}"
}

/** The instrumented test, its network answering to each golden's tensor what Python's interpreter answered. */
private fun device(name: String, assets: File, goldens: File): String {
    InstrumentationRegistry.folder = assets
    val answers = goldens.listFiles()!!.filter { it.name.endsWith(".tensor.f32") }.map { floats(it) to floats(File(it.path.replace(".tensor.", ".outputs."))) }
    FakeLiteRt.answer = { tensor -> answers.first { it.first.contentEquals(tensor) }.second }
    val passed = tests(name)
    FakeLiteRt.gpuTakesEverything = false
    return "$passed, ${tests(name)} | open ${FakeLiteRt.open}"
}

private fun floats(file: File): FloatArray {
    val bytes = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
    return FloatArray(bytes.remaining()).also { bytes.get(it) }
}

private fun tensor(name: String, rgb: ByteArray, width: Int, height: Int, to: File): String {
    val type = Class.forName(name)
    val method = type.getMethod("tensor", ByteArray::class.java, Int::class.java, Int::class.java)
    val numbers = method.invoke(type.getDeclaredConstructor().newInstance(), rgb, width, height) as FloatArray
    val bytes = ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN)
    bytes.asFloatBuffer().put(numbers)
    to.writeBytes(bytes.array())
    return "wrote ${numbers.size}"
}

private fun labelled(name: String, outputs: File, labels: List<String>): String {
    val method = Class.forName(name).getMethod("largestScores", FloatArray::class.java, List::class.java, Int::class.java)
    return (method.invoke(null, floats(outputs), labels, labels.size) as List<*>).joinToString("\t")
}

private fun open(name: String, assets: File, accelerator: Accelerator): AutoCloseable {
    val constructor = Class.forName(name).getConstructor(AssetManager::class.java, Accelerator::class.java)
    return constructor.newInstance(AssetManager(assets), accelerator) as AutoCloseable
}

private fun classify(opened: AutoCloseable, side: Int = 32): List<*> {
    val method = opened.javaClass.getMethod("classify", ByteArray::class.java, Int::class.java, Int::class.java, Int::class.java)
    return method.invoke(opened, ByteArray(3 * side * side), side, side, 3) as List<*>
}

/** Opens a classifier, which fails at one step, and lets it answer each class's index modulo 3. */
private fun lifecycle(name: String, assets: File, failAt: String): String {
    FakeLiteRt.failAt = failAt
    FakeLiteRt.answer = { FloatArray(7) { index -> (index % 3).toFloat() } }
    val opened = open(name, assets, Accelerator.CPU)
    val found = opened.use { (1..2).map { classify(opened) }.last() }
    opened.close()
    val after = runCatching { classify(opened) }.exceptionOrNull()?.cause
    return "$found | ${FakeLiteRt.log} | open ${FakeLiteRt.open} | ${after?.javaClass?.simpleName}: ${after?.message}"
}

/** What each accelerator gives where the GPU takes the whole network, and where it does not. */
private fun accelerators(name: String, assets: File): String {
    fun accelerator(opened: AutoCloseable) = opened.use { it.javaClass.getMethod("getAccelerator").invoke(it).toString() }
    val found = mutableListOf<String>()
    for (takes in listOf(true, false)) {
        FakeLiteRt.gpuTakesEverything = takes
        for (wanted in Accelerator.entries) {
            found += runCatching { accelerator(open(name, assets, wanted)) }.getOrElse { it.cause!!.javaClass.simpleName }
        }
        val companion = Class.forName(name).getField("Companion").get(null)
        val method = companion.javaClass.methods.single { it.name == "onGpuOrCpu" }
        val refused = { reason: LiteRtException -> found.add("${reason.message}").let {} }
        found += accelerator(method.invoke(companion, AssetManager(assets), refused) as AutoCloseable)
    }
    return "$found | open ${FakeLiteRt.open}"
}

/** Whether bitmaps of every configuration give the scores that their pixels give as RGB bytes. */
private fun bitmaps(name: String, assets: File): String {
    FakeLiteRt.answer = { tensor -> tensor.copyOf(7) }
    val (width, height) = 37 to 53
    val argb = IntArray(width * height) { (it % 256 shl 24) or (it * 2654435 and 0xffffff) }
    val rgb = ByteArray(3 * argb.size) { (argb[it / 3] shr (16 - 8 * (it % 3))).toByte() }
    return open(name, assets, Accelerator.CPU).use { opened ->
        val ofRgb = opened.javaClass.getMethod("scores", ByteArray::class.java, Int::class.java, Int::class.java)
        val ofBitmap = opened.javaClass.getMethod("scores", Bitmap::class.java)
        val expected = ofRgb.invoke(opened, rgb, width, height) as FloatArray
        Bitmap.Config.entries.joinToString(" ") { config ->
            val bitmap = Bitmap.createBitmap(argb, width, height, config)
            val same = (ofBitmap.invoke(opened, bitmap) as FloatArray).contentEquals(expected)
            "$config ${if (same && !bitmap.isRecycled) "same" else "DIFFERS"}"
        }
    }
}
