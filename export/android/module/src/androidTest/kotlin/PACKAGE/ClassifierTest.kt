package {{package}}

import android.graphics.Bitmap
import androidx.test.platform.app.InstrumentationRegistry
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.LiteRtException
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Holds the network on this device's CPU against the goldens, and asks what a GPU would do. */
class ClassifierTest {

    private val assets = InstrumentationRegistry.getInstrumentation().targetContext.assets
    private val goldens = readGoldens()

    @Test
    fun theCpuAnswersTheGoldens() {
        Classifier(assets).use { classifier ->
            assertEquals(Accelerator.CPU, classifier.accelerator)
            for (golden in goldens) {
                val scores = classifier.scores(golden.rgb, golden.width, golden.height)
                assertArrayEquals(golden.name, golden.outputs, scores, golden.tolerance)
                for (best in golden.top) assertEquals(best.label, classifier.labels[best.index])
            }
        }
    }

    @Test
    fun bitmapsOfAnyConfigurationAreReadAsTheirPixels() {
        val golden = goldens.first()
        fun byte(at: Int): Int = golden.rgb[at].toInt() and 0xff
        val argb = IntArray(golden.width * golden.height) { pixel ->
            (0xff shl 24) or (byte(3 * pixel) shl 16) or (byte(3 * pixel + 1) shl 8) or byte(3 * pixel + 2)
        }
        val bitmap = Bitmap.createBitmap(argb, golden.width, golden.height, Bitmap.Config.ARGB_8888)
        val coarse = checkNotNull(bitmap.copy(Bitmap.Config.RGB_565, false))
        Classifier(assets).use { classifier ->
            val expected = classifier.scores(golden.rgb, golden.width, golden.height)
            assertArrayEquals(expected, classifier.scores(bitmap), 0f)
            assertEquals({{classes}}, classifier.scores(coarse).size)
        }
    }

    @Test
    fun theGpuRunsEverythingOrTheCpuDoes() {
        var reason: LiteRtException? = null
        Classifier.onGpuOrCpu(assets) { reason = it }.use { classifier ->
            assertEquals(if (reason == null) Accelerator.GPU else Accelerator.CPU, classifier.accelerator)
            val golden = goldens.first()
            assertTrue(classifier.scores(golden.rgb, golden.width, golden.height).all { it.isFinite() })
        }
    }

    @Test
    fun whatIsClosedSaysSo() {
        val golden = goldens.first()
        val classifier = Classifier(assets)
        classifier.close()
        classifier.close()
        assertThrows(IllegalStateException::class.java) { classifier.scores(golden.rgb, golden.width, golden.height) }
    }
}
