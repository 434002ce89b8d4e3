package androidx.test.platform.app

import android.app.Instrumentation
import android.content.Context
import android.content.res.AssetManager

object InstrumentationRegistry {
    /** Where the assets of the app under test lie. */
    lateinit var folder: java.io.File

    @JvmStatic fun getInstrumentation(): Instrumentation = Instrumentation(object : Context() { override val assets = AssetManager(folder) })
}
