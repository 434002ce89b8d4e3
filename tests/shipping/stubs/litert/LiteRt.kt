// The public signatures of LiteRT 2.x's Kotlin classes CompiledModel, TensorBuffer, Environment, Accelerator, JniHandle and LiteRtException, after
// google-ai-edge/LiteRT, litert/kotlin/src/main/kotlin/com/google/ai/edge/litert (Model.kt, TensorBuffer.kt, Environment.kt, Common.kt,
// LiteRtException.kt), compared with the classes of a published AAR: every overload of what the module calls, with its nullability, defaults and
// @Throws; of the options and of Environment.create, what the module does not call is left out. Behind them is a network that FakeLiteRt makes up, which
// notes what is opened, run and closed, refuses where it is told to, and refuses a GPU that is asked for alone and lacks an operation, as LiteRT does
// ("Some ops are not accelerated", litert/runtime/compiled_model.cc).
package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager
import java.util.concurrent.atomic.AtomicBoolean

object FakeLiteRt {
    val log = mutableListOf<String>()
    var failAt = ""
    var gpuTakesEverything = true
    var answer: (FloatArray) -> FloatArray = { it }
    var open = 0

    fun step(name: String) {
        log += name
        if (name == failAt) throw LiteRtException(Status.ErrorUnknown, name)
    }
}

class LiteRtException(private val status: Status, message: String) : Exception(message) {
    constructor(code: Int, message: String) : this(Status.fromCode(code), message)
}

enum class Status(val code: Int) {
    ErrorUnknown(9),
    ErrorCompilation(504);

    companion object {
        fun fromCode(code: Int): Status = requireNotNull(values().firstOrNull { it.code == code })
    }
}

enum class Accelerator private constructor(val value: Int) {
    NONE(0),
    CPU(1),
    GPU(2),
    NPU(3),
}

abstract class JniHandle internal constructor(internal val name: String) : AutoCloseable {
    private val destroyed = AtomicBoolean(false)

    init {
        FakeLiteRt.open++
    }

    protected fun assertNotDestroyed() {
        if (destroyed.get()) throw IllegalStateException("The handle has been destroyed.")
    }

    protected abstract fun destroy()

    override final fun close() {
        if (destroyed.compareAndSet(false, true)) {
            FakeLiteRt.open--
            FakeLiteRt.log += "close $name"
            destroy()
        }
    }
}

class Environment private constructor() : JniHandle("environment") {
    enum class Option private constructor(val value: Int) {
        CompilerPluginLibraryDir(0),
        DispatchLibraryDir(1),
    }

    protected override fun destroy() {}

    @Throws(LiteRtException::class)
    fun getAvailableAccelerators(): Set<Accelerator> {
        assertNotDestroyed()
        return setOf(Accelerator.CPU)
    }

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(context: Context, options: Map<Option, String> = mapOf(), enableCompilerCache: Boolean = true): Environment =
            error("$context $options $enableCompilerCache")

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(options: Map<Option, String> = mapOf()): Environment {
            FakeLiteRt.step("environment ${options.size}")
            return Environment()
        }
    }
}

class TensorBuffer internal constructor(name: String) : JniHandle(name) {
    internal var data = FloatArray(0)

    protected override fun destroy() {}

    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray): Unit = error("${data.size} Ints")

    @Throws(LiteRtException::class)
    fun writeFloat(data: FloatArray) {
        assertNotDestroyed()
        this.data = data.copyOf()
    }

    @Throws(LiteRtException::class)
    fun writeInt8(data: ByteArray): Unit = error("${data.size} Bytes")

    @Throws(LiteRtException::class)
    fun writeBoolean(data: BooleanArray): Unit = error("${data.size} Booleans")

    @Throws(LiteRtException::class)
    fun writeLong(data: LongArray): Unit = error("${data.size} Longs")

    @Throws(LiteRtException::class)
    fun readInt(): IntArray = error("Ints")

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray {
        assertNotDestroyed()
        return data.copyOf()
    }

    @Throws(LiteRtException::class)
    fun readInt8(): ByteArray = error("Bytes")

    @Throws(LiteRtException::class)
    fun readBoolean(): BooleanArray = error("Booleans")

    @Throws(LiteRtException::class)
    fun readLong(): LongArray = error("Longs")
}

class CompiledModel private constructor() : JniHandle("model") {

    class Options constructor(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators)) {}

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    protected override fun destroy() {}

    @Throws(LiteRtException::class)
    fun createInputBuffer(inputName: String, signature: String = ""): TensorBuffer = error("$inputName $signature")

    @Throws(LiteRtException::class)
    fun createOutputBuffer(outputName: String, signature: String = ""): TensorBuffer = error("$outputName $signature")

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        assertNotDestroyed()
        FakeLiteRt.step("inputs $signatureIndex")
        return listOf(TensorBuffer("input"))
    }

    @Throws(LiteRtException::class)
    fun createInputBuffers(signature: String): List<TensorBuffer> = error(signature)

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        assertNotDestroyed()
        FakeLiteRt.step("outputs $signatureIndex")
        return listOf(TensorBuffer("output"))
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

    @Throws(LiteRtException::class)
    fun run(inputs: Map<String, TensorBuffer>, outputs: Map<String, TensorBuffer>, signature: String = ""): Unit =
        error("$inputs $outputs $signature")

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(assetManager: AssetManager, assetName: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel {
            assetManager.open(assetName).close()
            FakeLiteRt.step("create $assetName ${options.accelerators} ${optionalEnv?.name}")
            if (options.accelerators == setOf(Accelerator.GPU) && !FakeLiteRt.gpuTakesEverything) {
                throw LiteRtException(Status.ErrorCompilation, "Some ops are not accelerated.")
            }
            return CompiledModel()
        }

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel =
            error("$filePath $options $optionalEnv")
    }
}
