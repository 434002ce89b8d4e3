// Runs what was generated, on a plain JVM, as a file of tab-separated commands says.
package harness

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.FakeLiteRt
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun main(arguments: Array<String>) {
    for (line in File(arguments.single()).readLines()) {
        val words = line.split("\t")
        val said = try {
            when (words[0]) {
                "tests" -> tests(words[1])
                "tensor" -> tensor(words[1], File(words[2]).readBytes(), words[3].toInt(), words[4].toInt(), File(words[5]))
                "classifier" -> classifier(words[1], File(words[2]), words[3], words[4].toInt())
                else -> error(line)
            }
        } catch (failure: InvocationTargetException) {
            "${failure.targetException::class.java.simpleName}: ${failure.targetException.message}"
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

private fun tensor(name: String, rgb: ByteArray, width: Int, height: Int, to: File): String {
    val type = Class.forName(name)
    val method = type.getMethod("tensor", ByteArray::class.java, Int::class.java, Int::class.java)
    val numbers = method.invoke(type.getDeclaredConstructor().newInstance(), rgb, width, height) as FloatArray
    val bytes = ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN)
    bytes.asFloatBuffer().put(numbers)
    to.writeBytes(bytes.array())
    return "wrote ${numbers.size}"
}

/** Opens a classifier on the fake, which fails at one step or answers with the class's index modulo 3; says what happened. */
private fun classifier(name: String, assets: File, failAt: String, classes: Int): String {
    FakeLiteRt.log.clear()
    FakeLiteRt.open = 0
    FakeLiteRt.failAt = failAt
    FakeLiteRt.answer = { FloatArray(classes) { index -> (index % 3).toFloat() } }
    val type = Class.forName(name)
    val open = type.getConstructor(AssetManager::class.java, Accelerator::class.java)
    try {
        val opened = open.newInstance(AssetManager(assets), Accelerator.GPU) as AutoCloseable
        val classify = type.getMethod("classify", IntArray::class.java, Int::class.java, Int::class.java, Int::class.java)
        val side = 32
        val found = opened.use { (1..2).map { classify.invoke(opened, IntArray(side * side), side, side, 3) }.last() }
        opened.close()
        val after = runCatching { classify.invoke(opened, IntArray(side * side), side, side, 3) }.exceptionOrNull()?.cause?.message
        return "$found | ${type.getMethod("getRequestedAccelerator").invoke(opened)} | ${FakeLiteRt.log} | open ${FakeLiteRt.open} | $after"
    } catch (failure: InvocationTargetException) {
        return "${failure.targetException::class.java.simpleName}: ${failure.targetException.message} | open ${FakeLiteRt.open}"
    }
}
