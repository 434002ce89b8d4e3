package android.content.res

import java.io.File
import java.io.InputStream

/** Reads from a folder what Android reads from an APK. */
class AssetManager(private val folder: File) {
    fun open(fileName: String): InputStream = File(folder, fileName).inputStream()
}
