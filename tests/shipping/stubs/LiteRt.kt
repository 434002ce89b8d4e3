// Signatures of the LiteRT 2.x classes that Classifier.kt calls, written by hand after LiteRT's Kotlin sources, with a fake network behind them.
// What is not called is not here. The fake answers with what FakeLiteRt says and notes what is opened and closed.
package com.google.ai.edge.litert

import android.content.res.AssetManager

object FakeLiteRt {
    val log = mutableListOf<String>()
    var failAt = ""
    var answer: (FloatArray) -> FloatArray = { it }
    var open = 0

    fun step(name: String) {
        log += name
        if (name == failAt) throw LiteRtException(name)
    }
}

class LiteRtException(message: String) : Exception(message)

enum class Accelerator { NONE, CPU, GPU, NPU }

abstract class JniHandle internal constructor() : AutoCloseable {
    private var destroyed = false

    init {
        FakeLiteRt.open++
    }

    protected fun assertNotDestroyed() {
        check(!destroyed) { "The handle has been destroyed." }
    }

    final override fun close() {
        if (!destroyed) FakeLiteRt.open--
        destroyed = true
    }
}

class Environment private constructor() : JniHandle()

class TensorBuffer internal constructor() : JniHandle() {
    internal var data = FloatArray(0)

    @Throws(LiteRtException::class)
    fun writeFloat(data: FloatArray) {
        assertNotDestroyed()
        this.data = data.copyOf()
    }

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray {
        assertNotDestroyed()
        return data.copyOf()
    }
}

class CompiledModel private constructor() : JniHandle() {

    class Options constructor(internal vararg val accelerators: Accelerator) {
        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        FakeLiteRt.step("inputs $signatureIndex")
        return listOf(TensorBuffer())
    }

    @Throws(LiteRtException::class)
    fun createInputBuffers(signature: String): List<TensorBuffer> = error(signature)

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        FakeLiteRt.step("outputs $signatureIndex")
        return listOf(TensorBuffer())
    }

    @Throws(LiteRtException::class)
    fun createOutputBuffers(signature: String): List<TensorBuffer> = error(signature)

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, signatureIndex: Int = 0): List<TensorBuffer> = error("$inputs $signatureIndex")

    @Throws(LiteRtException::class)
    fun run(inputs: List<TensorBuffer>, signature: String): List<TensorBuffer> = error("$inputs $signature")

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        assertNotDestroyed()
        FakeLiteRt.step("run $signatureIndex")
        outputs.single().data = FakeLiteRt.answer(inputs.single().data)
    }

    @Throws(LiteRtException::class)
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signature: String): Unit = error("$inputs $outputs $signature")

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(assetManager: AssetManager, assetName: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel {
            assetManager.open(assetName).close()
            FakeLiteRt.step("create $assetName ${options.accelerators.joinToString()} $optionalEnv")
            return CompiledModel()
        }

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel =
            error("$filePath $options $optionalEnv")
    }
}
