// This binary again as the image that comes after exec: it plays a step on descriptors of known numbers (images.c).
#ifndef IMAGES_H
#define IMAGES_H
#include "oracle.h"

enum { PLACE = 100 };
extern char **environ;

void put(int fd, int place);                                // a descriptor at a known number
char *const *play(const char *step);                        // the arguments of such an image
void become(const char *step);
pid_t child_plays(const char *step);                        // a child that becomes the step

#endif
